import numpy as np
import pytest
import torch
from pydantic import ValidationError

from secondread.anomalies.kinds.fpi import ForeignPatches, ForeignPatchSettings
from secondread.anomalies.kinds.pii import PoissonPatches, PoissonPatchSettings
from secondread.errors import UserError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def patches(x, d, seed=0, valid=None, **settings):
    make = PoissonPatches(PoissonPatchSettings(**{"share": 1.0, **settings}))
    return make(x, generator(seed), donors=d, valid=valid)


def waves(count, size, seed=0):
    """Smooth images in [0.2, 0.8]."""
    drawn = np.random.default_rng(seed)
    grid = np.meshgrid(*(np.linspace(0, 1, n) for n in size), indexing="ij")
    images = [0.5 + 0.3 * np.sin(sum(drawn.uniform(2, 9) * g for g in grid) + one) for one in range(count)]
    return torch.from_numpy(np.array(images, dtype=np.float32))[:, None]


def one_sum(x, u, d, alpha, p):
    """Both sides of the equation at p, by the paper's choice of gradients."""
    left = right = 0.0
    for axis in range(len(p)):
        for step in (-1, 1):
            q = tuple(place + step * (axis == own) for own, place in enumerate(p))
            a, b = (1 - alpha) * float(x[p] - x[q]), alpha * float(d[p] - d[q])
            left += float(u[p] - u[q])
            right += a if abs(a) > abs(b) else b
    return left, right


@pytest.mark.parametrize("size", [(32, 40), (14, 16, 20)])
def test_inside_the_patch_gradients_are_the_larger_of_both_images(size):
    x, d = waves(4, size), waves(1, size, seed=1)
    wide = torch.cat([x[..., :-1], torch.full_like(x[..., -1:], 9)], dim=-1)
    wide[..., 0] = -9  # values so far apart that nothing is clipped
    found = patches(wide, d, half_width=(0.2, 0.25), core=0.3)
    for number in range(4):
        alpha = float(found.target[number].max())
        assert 0.05 < alpha < 0.95
        places = found.mask[number, 0].nonzero().tolist()
        assert len(places) > 20
        for place in places[:: len(places) // 10]:
            left, right = one_sum(
                wide[number, 0].double(),
                found.images[number, 0].double(),
                d[0, 0].double(),
                alpha,
                tuple(place),
            )
            assert left == pytest.approx(right, abs=2e-6)


def test_a_step_that_fpi_leaves_along_the_border_is_not_there():
    x, d = torch.rand(16, 1, 32, 32, generator=generator()) * 0.01, torch.full((1, 1, 32, 32), 0.9)
    linear = ForeignPatches(ForeignPatchSettings(share=1.0, alpha=(0.5, 0.9)))(x, generator(), donors=d)
    assert float(linear.images.diff(dim=-1).abs().amax()) > 0.4
    assert float(patches(x, d, mixed=False).images.diff(dim=-1).abs().amax()) < 0.02


def test_the_patch_is_that_of_fpi_without_what_lies_on_the_border_of_the_image():
    x, d = torch.rand(40, 1, 32, 32, generator=generator()), torch.rand(1, 1, 32, 32, generator=generator(1))
    linear = ForeignPatches(ForeignPatchSettings(share=1.0, alpha=(0.05, 0.95), core=1.0))
    theirs = linear(x, generator(5), donors=d).mask
    ours = patches(x, d, seed=5, core=1.0).mask
    inside = torch.zeros_like(theirs)
    inside[..., 1:-1, 1:-1] = True
    same = ours == (theirs & inside)
    assert (
        float(same.float().mean()) > 0.998
    )  # where both agree by chance, or the clip undid a change, is left
    assert not ours[~inside].any()


def test_without_mixing_a_weight_of_one_takes_the_others_gradients_alone():
    x, d = waves(3, (32, 32)), waves(1, (32, 32), seed=2)
    x = x.clone()
    x[..., 0, 0], x[..., 0, 1] = -9, 9
    found = patches(x, x[:1] * 0 + d, alpha=(1.0, 1.0), mixed=False)
    assert set(found.target.unique().tolist()) == {0.0, 1.0}
    moved = (found.images - d)[found.mask].reshape(-1)
    assert bool(moved.isfinite().all())
    laplacian = torch.nn.functional.conv2d(
        found.images - d, torch.tensor([[[[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]]]]), padding=1
    )
    assert float(laplacian[found.mask].abs().max()) < 1e-5


def test_values_stay_within_those_of_the_image():
    x, d = 0.4 + 0.2 * torch.rand(8, 1, 32, 32, generator=generator()), torch.rand(1, 1, 32, 32) * 9
    found = patches(x, d)
    low, high = x.flatten(1).amin(dim=1), x.flatten(1).amax(dim=1)
    assert bool((found.images.flatten(1).amin(dim=1) >= low).all())
    assert bool((found.images.flatten(1).amax(dim=1) <= high).all())


def test_small_changes_are_no_target():
    x = torch.rand(8, 1, 32, 32, generator=generator())
    d = torch.rand(1, 1, 32, 32, generator=generator(1))
    found = patches(x, d, tolerance=0.2, target="mask")
    change = (found.images - x).abs()
    assert torch.equal(found.mask, change > 0)
    assert torch.equal(found.target, (change > 0.2).float())


def test_an_irregular_valid_part_keeps_its_outermost_positions():
    x, d = torch.rand(12, 1, 32, 32, generator=generator()), torch.rand(1, 1, 32, 32, generator=generator(1))
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    disk = ((rows - 16) ** 2 + (columns - 15) ** 2) < 140
    valid = disk.expand(12, 1, 32, 32).contiguous()
    found = patches(torch.where(valid, x, -7.0), d, valid=valid)
    outermost = disk & (~disk.roll(1, 0) | ~disk.roll(-1, 0) | ~disk.roll(1, 1) | ~disk.roll(-1, 1))
    assert bool(found.changed.all())
    assert not found.mask[..., outermost | ~disk].any()
    assert float(found.images[found.mask].min()) >= 0  # the padding's -7 has no part in it


def test_one_image_without_donors_is_refused():
    with pytest.raises(UserError, match="pii takes a patch from another image, and the batch holds one"):
        PoissonPatches()(torch.rand(1, 1, 16, 16), generator())


def test_the_defaults_are_the_papers():
    settings = PoissonPatchSettings()
    assert (settings.alpha, settings.half_width, settings.core) == ((0.05, 0.95), (0.05, 0.2), 0.8)
    assert (settings.mixed, settings.target, settings.tolerance) == (True, "alpha", 1e-3)
    with pytest.raises(ValidationError):
        PoissonPatchSettings(alpha=(0.5, 0.2))
