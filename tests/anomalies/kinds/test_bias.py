import pytest
import torch

from secondread.anomalies.kinds.bias import BiasBumps, BiasSettings


def made(x, valid=None, **settings):
    make = BiasBumps(BiasSettings(**{"share": 1.0, **settings}))
    return make(x, torch.Generator().manual_seed(0), valid=valid)


def tissue(count, size):
    """1 above air of 0, and one bright position that leaves room for brightening."""
    x = torch.ones(count, 1, *size)
    x[:, :, 0] = 0
    x[:, :, -1, ..., -1] = 10
    return x


@pytest.mark.parametrize("size", [(40, 40), (20, 20, 20)])
def test_tissue_changes_by_a_factor_and_air_does_not(size):
    x = tissue(30, size)
    found = made(x, strength=(0.5, 0.5), core=0.4, visible=0, target="profile")
    at = found.mask & (x == 1)
    sign = torch.where(found.images > x, 1.0, -1.0)
    torch.testing.assert_close(found.images[at].log(), (0.5 * sign * found.target)[at], atol=1e-5, rtol=0)
    assert not found.mask[:, :, 0].any()
    ratio = found.images.flatten(1).div(x.flatten(1)).nan_to_num(1).log()
    torch.testing.assert_close(ratio.abs().amax(dim=1), torch.full((30,), 0.5), atol=0.02, rtol=0)


def test_bumps_are_smooth():
    found = made(tissue(20, (64, 64)), strength=(0.6, 0.6))
    inside = found.images[:, :, 1:, :-1]
    assert float(inside.diff(dim=3).abs().max()) < 0.15
    assert float((inside - 1).abs().max()) > 0.4


def test_the_sign_is_asked_for_and_values_stay_in_the_images_range():
    x = torch.rand(20, 2, 24, 24, generator=torch.Generator().manual_seed(1)) - 0.5
    brighter, darker = made(x, bright=1.0), made(x, bright=0.0)
    assert bool((brighter.images >= x).all())
    assert bool((darker.images <= x).all())
    assert bool((brighter.images.flatten(1).amax(1) <= x.flatten(1).amax(1)).all())
    assert bool((darker.images.flatten(1).amin(1) >= x.flatten(1).amin(1)).all())


def test_the_target_mask_is_where_half_of_the_strength_is_left():
    x = tissue(10, (32, 32))
    mask, profile = made(x, visible=0), made(x, visible=0, target="profile")
    assert torch.equal(mask.images, profile.images)
    assert torch.equal(mask.target, (profile.target >= 0.5).float())
