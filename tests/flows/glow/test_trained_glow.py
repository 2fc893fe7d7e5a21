"""A Glow after training: it has learned, it still inverts, and its memory modes still agree."""

import pytest
import torch

from secondread.flows.glow.glow import Glow
from secondread.flows.glow.scales import Scale

SIZES = {2: (16, 16), 3: (8, 8, 8)}
DEPTH = {2: 4, 3: 2}


def smooth(n, size, generator):
    """Noise blurred along every axis: what a convolution can predict from its neighbours."""
    x = torch.randn(n, 1, *size, generator=generator)
    for axis in range(2, x.dim()):
        x = 0.5 * x + 0.5 * x.roll(1, dims=axis)
    return x + 0.01 * torch.randn(x.shape, generator=generator)


def trained(rank, scheme, *, steps=30, **options):
    """In float32, as everywhere outside these tests."""
    generator = torch.Generator().manual_seed(0)
    glow = Glow(
        rank,
        1,
        SIZES[rank],
        levels=2,
        depth=DEPTH[rank],
        width=16,
        scale=Scale(scheme, bound=5.0 if scheme == "spline" else 2.0),
        generator=generator,
        **options,
    )
    glow.initialise(smooth(64, SIZES[rank], generator))
    optimiser = torch.optim.Adam(glow.parameters(), lr=3e-3)
    losses = []
    for _ in range(steps):
        loss = -glow.log_density(smooth(8, SIZES[rank], generator)).mean() / glow.dimensions
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return glow, losses, smooth(32, SIZES[rank], generator)


@pytest.mark.parametrize(
    ("rank", "scheme"),
    [
        (2, "shibata"),
        (3, "glow"),
        pytest.param(2, "glow", marks=pytest.mark.slow),
        pytest.param(2, "exp", marks=pytest.mark.slow),
        pytest.param(2, "additive", marks=pytest.mark.slow),
        pytest.param(2, "spline", marks=pytest.mark.slow),
        pytest.param(3, "shibata", marks=pytest.mark.slow),
    ],
)
def test_training_lowers_the_loss_and_the_round_trip_stays_exact(rank, scheme):
    glow, losses, x = trained(rank, scheme, mixing="lu" if scheme == "shibata" else "plain")
    assert sum(losses[-10:]) / 10 < losses[0] - 0.1
    with torch.no_grad():
        latents, _ = glow.transform(x)
    assert float((glow.inverse(latents) - x).abs().max()) < 1e-4
    assert bool(glow.sample(4, torch.Generator().manual_seed(1)).isfinite().all())


@pytest.mark.parametrize("memory", [pytest.param("store", marks=pytest.mark.slow), "invert"])
def test_training_is_the_same_in_every_memory_mode(memory):
    first = trained(2, "glow", memory="recompute", steps=10)[1]
    second = trained(2, "glow", memory=memory, steps=10)[1]
    assert second == pytest.approx(first, abs=1e-4)


def test_training_again_with_one_seed_gives_the_same_flow():
    first, second = (trained(2, "glow", steps=5)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
