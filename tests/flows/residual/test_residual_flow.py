"""A residual flow of images: its density by autograd, its mass, its inverse, its random numbers."""

import math

import pytest
import torch

from secondread.flows.glow.planes import from_planes
from secondread.flows.residual.residual_flow import ResidualFlow
from secondread.flows.residual.series import Truncation

FORMS = {
    "2-D": (2, (8, 8), {"levels": 2, "depth": 2}),
    "3-D": (3, (4, 4, 4), {"levels": 1, "depth": 2}),
    "paper": (2, (4, 4), {"levels": 2, "depth": 1, "squeeze_first": False, "dense": 2, "logit": 0.05}),
    "i-ResNet": (2, (4, 4), {"levels": 1, "depth": 2, "activation": "elu", "coefficient": 0.9}),
}


def make_flow(form, gain=2.0, **changes):
    rank, size, options = FORMS[form]
    options = {"width": 6, "dense_width": 5, "scoring": Truncation(40, "none"), **options, **changes}
    flow = ResidualFlow(rank, 1, size, generator=torch.Generator().manual_seed(0), **options).double()
    flow.initialise(images(flow, 8))
    with torch.no_grad():
        for block in flow.blocks:
            for layer in block.layers:
                layer.weight.mul_(gain)
        for _ in range(5):
            for block in flow.blocks:
                block.weights(update=True)
    return flow.eval()


def images(flow, count=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, *flow.size, dtype=torch.float64, generator=generator) - 0.5


def numbers(flow, count, seed=2):
    return torch.rand(count, *flow.random_numbers, generator=torch.Generator().manual_seed(seed))


def exact(flow, image):
    """log p of one image by autograd's Jacobian."""

    def z_of(x):
        state = flow._entered(x[None])[0]
        for number, (level, weights) in enumerate(zip(flow.levels, flow._by_level(), strict=True)):
            state = level.norms[0](flow._moved_into(number, state))
            for block, own, norm in zip(level.blocks, weights, level.norms[1:], strict=True):
                one = torch.ones(1, 1, dtype=torch.float64)
                state = norm(block.learn(state, torch.ones_like(state), one, own)[0])
        return from_planes(state).flatten()

    jacobian = torch.autograd.functional.jacobian(z_of, image).reshape(image.numel(), -1)
    z = z_of(image).detach()
    return torch.linalg.slogdet(jacobian)[1] - 0.5 * (z.square() + math.log(2 * math.pi)).sum()


@pytest.mark.parametrize("form", ["2-D", pytest.param("3-D", marks=pytest.mark.slow), "paper", "i-ResNet"])
def test_the_mean_estimate_is_the_log_density_of_autograd_s_jacobian(form):
    flow = make_flow(form)
    image, draws = images(flow, 1), 200
    with torch.no_grad():
        found = flow.log_density(image.expand(draws, *image.shape[1:]), numbers(flow, draws))
    error = float(found.std()) / math.sqrt(draws)
    assert error < 0.3
    assert float(found.mean()) == pytest.approx(float(exact(flow, image[0])), abs=4 * error)


@pytest.mark.parametrize("form", FORMS)
def test_the_inverse_undoes_the_latents_and_the_map_sums_to_the_density(form):
    flow = make_flow(form)
    x, u = images(flow), numbers(flow, 2)
    latents = flow.latents(x)
    torch.testing.assert_close(flow.inverse(latents), x, atol=1e-4, rtol=1e-4)
    by_place = flow.log_density_map(x, u)
    assert by_place.shape == (2, 1, *flow.size)
    with torch.no_grad():
        density = flow.log_density(x, u)
    torch.testing.assert_close(by_place.flatten(1).sum(dim=1), density)
    torch.testing.assert_close(flow.log_density(x, u).detach(), density)
    assert flow.sample(2, torch.Generator().manual_seed(0)).shape == x.shape


def test_a_two_dimensional_density_integrates_to_one():
    flow = ResidualFlow(
        2, 2, (1, 1), levels=1, depth=3, width=8, squeeze_first=False, scoring=Truncation(25, "none"),
        generator=torch.Generator().manual_seed(3),
    ).double().eval()  # fmt: skip
    with torch.no_grad():
        for block in flow.blocks:
            for layer in block.layers:
                layer.weight.mul_(3.0)
            block.weights(update=True)
    line = torch.linspace(-6, 6, 81, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line).view(-1, 2, 1, 1)
    # over these two vectors v v^T has the mean I, so that the mean of the estimates is exact
    logs = []
    for signs in ((0.9, 0.9), (0.1, 0.9)):
        u = torch.tensor([0.0, *signs]).expand(len(grid), 3, 3)
        logs.append(flow.log_density_map(grid, u).flatten(1).sum(dim=1))
    mass = float(torch.stack(logs).mean(dim=0).exp().sum()) * float(line[1] - line[0]) ** 2
    assert mass == pytest.approx(1.0, abs=5e-3)


def test_training_has_one_number_of_terms_and_scoring_each_image_s_own():
    flow = make_flow("2-D", training=Truncation(1, "geometric", 0.5), scoring=Truncation(3, "geometric", 0.5))
    x, u = images(flow, 3), numbers(flow, 3)
    with torch.no_grad():
        together = flow.log_density(x, u)
        alone = torch.cat([flow.log_density(x[n : n + 1], u[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(together, alone)
    flow.train()
    first = flow.log_density(x, u).detach()
    u[1:, :, 0] = 0.0  # the other images' numbers of terms
    torch.testing.assert_close(flow.log_density(x, u).detach(), first, atol=0.02, rtol=1e-3)


def test_training_raises_the_density_and_a_changed_parameter_is_seen():
    flow = make_flow("2-D", gain=1.0).float().train()
    x, generator = images(flow, 16).float() * 0.5, torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(flow.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        u = torch.rand(16, *flow.random_numbers, generator=generator)
        loss = -flow.log_density(x, u).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < sum(losses[:5]) - 5
    with torch.no_grad():
        before = flow.log_density(x, u)
        optimiser.step()
        assert not torch.equal(flow.log_density(x, u), before)


def test_autocast_does_not_reach_it():
    flow = make_flow("2-D").float()
    x, u = images(flow).float(), numbers(flow, 2)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        half = flow.log_density(x, u)
    with torch.no_grad():
        assert torch.equal(half, flow.log_density(x, u))


def test_it_refuses_what_does_not_fit_in_one_line():
    with pytest.raises(ValueError, match="multiple of 8"):
        ResidualFlow(2, 1, (12, 12))
    flow = make_flow("2-D")
    with pytest.raises(ValueError, match="uniform numbers"):
        flow.log_density(images(flow))
    with pytest.raises(ValueError, match="this flow takes"):
        flow.log_density(images(flow)[..., :4], numbers(flow, 2))
