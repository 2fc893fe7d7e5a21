"""Log-density and gradients equal autograd's on the textbook form, whatever is kept or computed again."""

import copy

import pytest
import torch
from made_glow import SCHEMES, images, make_glow
from plain_glow import plain_glow

from pairs import each_pair

MEMORY = ("recompute", "store", "invert")


def gradients(glow, log_density, x):
    """Of a sum with unequal weights, so that no image's part can hide behind another's."""
    given = {"x": x, **dict(glow.named_parameters())}
    total = (log_density * torch.linspace(0.5, 1.5, len(x), dtype=torch.float64)).sum()
    return dict(zip(given, torch.autograd.grad(total, list(given.values())), strict=True))


def assert_same_gradients(found, expected, **tolerance):
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, **tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


@each_pair(rank=[2, 3], scheme=SCHEMES, mixing=["plain", "lu"], border=[True, False])
def test_log_density_and_gradients_equal_the_textbook_form(rank, scheme, mixing, border):
    glow = make_glow(rank, scheme=scheme, mixing=mixing, border=border, depth=3, anchors=2)
    x = images(glow).requires_grad_()
    expected = plain_glow(glow).log_density(x)
    slopes = gradients(glow, expected, x)
    assert all(float(slope.abs().max()) > 0 for slope in slopes.values())
    for memory in MEMORY:
        glow.memory = memory
        found = glow.log_density(x)
        torch.testing.assert_close(found, expected)
        assert_same_gradients(gradients(glow, found, x), slopes, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(glow.log_density(x), expected)


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize(
    ("split_prior", "top_prior"), [("unit", "unit"), ("unit", "learned"), ("learned", "unit")]
)
def test_every_prior_equals_the_textbook_form(memory, split_prior, top_prior):
    glow = make_glow(memory=memory, split_prior=split_prior, top_prior=top_prior, levels=2, channels=3)
    x = images(glow).requires_grad_()
    expected, found = plain_glow(glow).log_density(x), glow.log_density(x)
    torch.testing.assert_close(found, expected)
    assert_same_gradients(gradients(glow, found, x), gradients(glow, expected, x))


@pytest.mark.parametrize("memory", MEMORY)
def test_several_blocks_of_positions_equal_one(memory):
    glow = make_glow(size=(32, 48), levels=1, depth=1, width=64, memory=memory)
    x = images(glow, n=2).requires_grad_()
    expected, found = plain_glow(glow).log_density(x), glow.log_density(x)
    torch.testing.assert_close(found, expected)
    assert_same_gradients(gradients(glow, found, x), gradients(glow, expected, x))


@pytest.mark.parametrize("memory", MEMORY)
def test_gradients_do_not_ask_for_that_of_the_image(memory):
    glow = make_glow(memory=memory)
    x = images(glow)
    glow.log_density(x).sum().backward()
    with_image = copy.deepcopy(glow)
    with_image.zero_grad()
    with_image.log_density(x.clone().requires_grad_()).sum().backward()
    for own, other in zip(glow.parameters(), with_image.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad)


@pytest.mark.parametrize("memory", MEMORY)
def test_an_image_has_a_gradient_through_a_frozen_flow(memory):
    glow = make_glow(memory=memory).requires_grad_(False)
    x = images(glow).requires_grad_()
    (expected,) = torch.autograd.grad(plain_glow(glow).log_density(x).sum(), x)
    (found,) = torch.autograd.grad(glow.log_density(x).sum(), x)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("memory", MEMORY)
def test_gradients_of_two_batches_add_up(memory):
    glow = make_glow(memory=memory)
    x = images(glow, n=4)
    glow.log_density(x).sum().backward()
    whole = [parameter.grad.clone() for parameter in glow.parameters()]
    glow.zero_grad()
    for part in x.split(2):
        glow.log_density(part).sum().backward()
    for parameter, expected in zip(glow.parameters(), whole, strict=True):
        torch.testing.assert_close(parameter.grad, expected)


@pytest.mark.parametrize("memory", MEMORY)
def test_gradients_of_latent_variables_alone_reach_the_parameters(memory):
    glow = make_glow(memory=memory)
    x = images(glow).requires_grad_()
    steps = [p for name, p in glow.named_parameters() if "prior" not in name]
    expected = torch.autograd.grad(sum(z.pow(3).sum() for z in plain_glow(glow).transform(x)[0]), [x, *steps])
    found = torch.autograd.grad(sum(z.pow(3).sum() for z in glow.transform(x)[0]), [x, *steps])
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other)


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("rank", [2, 3])
def test_bfloat16_gradients_point_where_float32_ones_do(memory, rank):
    glow = make_glow(rank, memory=memory, width=32, depth=4, amplitude=0.02).float()
    x = images(glow, n=16).float()
    glow.initialise(x)

    def slopes():
        glow.zero_grad()
        glow.log_density(x).sum().backward()
        return torch.cat([parameter.grad.flatten() for parameter in glow.parameters()])

    exact = slopes()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = slopes()
    assert exact.dtype == rounded.dtype == torch.float32
    assert float((rounded - exact).norm() / exact.norm()) < 0.06
