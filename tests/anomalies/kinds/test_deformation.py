import numpy as np
import pytest
import torch

from secondread.anomalies.kinds.deformation import Deformations, DeformationSettings


def made(x, valid=None, **settings):
    make = Deformations(DeformationSettings(**{"share": 1.0, **settings}))
    return make(x, torch.Generator().manual_seed(0), valid=valid)


def ramps(count, size):
    """One channel for each axis, which holds the position along it: what is taken tells where from."""
    along = torch.meshgrid(*[torch.arange(float(side)) for side in size], indexing="ij")
    return torch.stack(along).expand(count, -1, *size).contiguous()


@pytest.mark.parametrize("size", [(40, 48), (20, 24, 22)])
@pytest.mark.parametrize("grow", [0.0, 1.0])
def test_the_middle_is_scaled_and_nothing_folds(size, grow):
    x = ramps(8, size)
    found = made(x, strength=(0.8, 0.8), radius=(0.2, 0.25), grow=grow, core=0.3)
    for axis in range(len(size)):
        step = found.images[:, axis].diff(dim=1 + axis)
        assert float(step.min()) > 0  # order is kept along each axis
        middle = step.flatten(1).amin(dim=1) if grow else step.flatten(1).amax(dim=1)
        assert bool((middle < 0.45).all()) if grow else bool((middle > 1.5).all())
    assert torch.equal(found.images.amax(dim=(0, *range(2, x.dim()))), x[0].flatten(1).amax(dim=1))


def test_the_displacement_is_that_of_the_equation():
    """Half-axes alike, so that r is the distance in positions: x = q (1 - a (1 - r²)²) from the centre."""
    x = ramps(3, (41, 41))
    found = made(x, strength=(0.5, 0.5), radius=(0.2, 0.2), grow=1.0, core=0.1)
    for one, own in zip(found.images, x, strict=True):
        moved = (one - own).norm(dim=0)
        centre = (moved > 1e-3).nonzero().float().mean(dim=0).round()
        away = own - centre.view(2, 1, 1)
        r2 = away.square().sum(dim=0) / (0.2 * 41) ** 2
        expected = centre.view(2, 1, 1) + away * (1 - 0.5 * (1 - r2).clamp_min(0) ** 2)
        torch.testing.assert_close(one, expected.float(), atol=2e-3, rtol=0)


@pytest.mark.parametrize("size", [(33, 33), (17, 17, 17)])
def test_a_ball_grows_and_shrinks(size):
    along = np.meshgrid(*[np.arange(side) - side // 2 for side in size], indexing="ij")
    ball = torch.from_numpy((sum(a**2 for a in along) < (0.12 * size[0]) ** 2).astype(np.float32))
    x = ball.expand(6, 1, *size).contiguous()
    near = {"radius": (0.3, 0.3), "core": 0.07, "strength": (0.5, 0.5)}
    before = x.flatten(1).sum(dim=1)
    assert bool((made(x, grow=1.0, **near).images.flatten(1).sum(dim=1) > 1.5 * before).all())
    assert bool((made(x, grow=0.0, **near).images.flatten(1).sum(dim=1) < 0.7 * before).all())


def test_values_are_those_of_the_image_and_even_parts_are_no_target():
    x = torch.rand(20, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    found = made(x)
    assert bool((found.images.flatten(1).amax(1) <= x.flatten(1).amax(1)).all())
    assert bool((found.images.flatten(1).amin(1) >= x.flatten(1).amin(1)).all())
    faint = torch.zeros(10, 1, 32, 32)
    faint[..., 0, 0] = 1e3
    faint[..., 8:24, 8:24] = torch.rand(16, 16)
    assert not made(faint, core=0.3, radius=(0.1, 0.2)).target.any()


def test_the_target_can_be_the_displacement():
    x = ramps(6, (32, 32))
    found = made(x, core=0.2, target="displacement", grow=1.0, visible=0)
    moved = (found.images - x).norm(dim=1, keepdim=True)
    assert float(found.target.max()) == pytest.approx(1)
    greatest = moved.flatten(1).amax(dim=1).view(-1, 1, 1, 1)
    torch.testing.assert_close(found.target, moved / greatest, atol=1e-3, rtol=0)


def test_nothing_is_taken_from_padding():
    x = torch.rand(20, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    valid = torch.zeros_like(x, dtype=torch.bool)
    valid[..., 8:24, 8:24] = True
    one, other = (made(x.masked_fill(~valid, fill), valid=valid) for fill in (-50.0, 900.0))
    assert torch.equal(one.images[valid], other.images[valid])
    assert bool(one.changed.any())
