import numpy as np
import pytest
import torch
from pydantic import ValidationError

from secondread.anomalies.kinds.fpi import ForeignPatches, ForeignPatchSettings
from secondread.errors import UserError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def patches(count, size, **settings):
    """Black images and one white donor, so that what is mixed in is alpha itself."""
    make = ForeignPatches(ForeignPatchSettings(**{"share": 1.0, "target": "alpha", **settings}))
    return make(torch.zeros(count, 1, *size), generator(), donors=torch.ones(1, 1, *size))


def extents(mask):
    """First position and length of a mask `[1, *S]` along each axis; it must be a full cuboid."""
    places = np.argwhere(mask[0].numpy())
    low, high = places.min(axis=0), places.max(axis=0) + 1
    assert len(places) == np.prod(high - low)
    return low, high - low


def test_the_target_alpha_is_the_factor_of_the_interpolation():
    found = patches(64, (32, 32))
    torch.testing.assert_close(found.images, found.target)
    alphas = found.target.flatten(1).amax(dim=1)
    assert bool((alphas > 0).all())
    assert float(alphas.min()) < 0.1
    assert float(alphas.max()) > 0.9
    for target, mask, alpha in zip(found.target, found.mask, alphas, strict=True):
        assert bool((target[mask] == alpha).all())


def test_what_is_mixed_follows_the_papers_equation():
    x, d = torch.rand(5, 2, 24, 24, generator=generator(1)), torch.rand(1, 2, 24, 24, generator=generator(2))
    make = ForeignPatches(ForeignPatchSettings(share=1.0, target="alpha"))
    found = make(x, generator(), donors=d)
    torch.testing.assert_close(found.images, (1 - found.target) * x + found.target * d)


def test_the_target_mask_is_one_inside_the_patch():
    found = patches(16, (32, 32), target="mask")
    assert torch.equal(found.target, found.mask.float())


def test_alpha_keeps_to_its_range():
    alphas = patches(200, (32, 32), alpha=(0.05, 0.4)).target.flatten(1).amax(dim=1)
    assert 0.05 <= float(alphas.min()) < 0.07
    assert 0.38 < float(alphas.max()) <= 0.4


@pytest.mark.parametrize("side", [28, 64])
def test_sizes_and_centres_are_those_of_ddad(side):
    """Half-widths are whole numbers in [round(5 %), round(20 %)), centres in the core 80 %, each as likely;
    boxes that reach over the border are cut there."""
    found = patches(3000, (side, side))
    low, high = round(0.05 * side), round(0.2 * side)
    first, last = int(0.1 * side), int(0.9 * side)
    seen, widths = [], []
    for mask in found.mask:
        start, length = extents(mask)
        if (start > 0).all() and (start + length < side).all():
            assert length[0] == length[1]
            assert length[0] % 2 == 0
            widths.append(int(length[0]) // 2)
            seen.append(start + length // 2)
        else:
            assert (length < 2 * high).all()
    assert set(widths) == set(range(low, high))
    assert np.min(seen) == first
    assert np.max(seen) == last - 1
    assert abs(np.mean(seen) - side / 2) < 0.02 * side


def test_the_core_can_be_narrower():
    for mask in patches(300, (40, 40), core=0.5).mask:
        start, length = extents(mask)
        assert (start + length // 2 >= 10).all()
        assert (start + length // 2 < 30).all()


def test_in_volumes_the_patch_is_a_cuboid_of_one_share_of_each_side():
    shares = []
    for mask in patches(400, (20, 40, 80)).mask:
        start, length = extents(mask)
        if (start > 0).all() and (start + length < (20, 40, 80)).all():
            shares.append(length / 2 / (20, 40, 80))
    assert len(shares) > 100
    assert np.abs(np.ptp(np.array(shares), axis=1)).max() <= 0.06
    assert np.min(shares) >= 0.05
    assert np.max(shares) < 0.2


def test_where_there_is_padding_sides_and_core_are_those_of_the_valid_part():
    valid = torch.zeros(300, 1, 32, 64, dtype=torch.bool)
    valid[..., 16:48] = True
    make = ForeignPatches(ForeignPatchSettings(share=1.0))
    found = make(torch.zeros(300, 1, 32, 64), generator(), donors=torch.ones(1, 1, 32, 64), valid=valid)
    assert bool(found.changed.all())
    for mask in found.mask:
        start, length = extents(mask)
        assert (length <= 2 * 6).all()
        assert 16 <= start[1] <= start[1] + length[1] <= 48
    inner = [extents(mask)[0] + extents(mask)[1] // 2 for mask in found.mask]
    assert abs(np.mean(inner, axis=0)[1] - 32) < 2


def numbered(count):
    """Images that hold their own number."""
    return torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, 16, 16).contiguous()


def test_the_donor_is_another_image_of_the_batch_and_each_as_likely():
    make = ForeignPatches(ForeignPatchSettings(share=1.0, alpha=(1.0, 1.0)))
    x = numbered(5)
    counts = torch.zeros(5, 5)
    drawn = generator()
    for _ in range(400):
        found = make(x, drawn)
        for own in range(5):
            donors = found.images[own][found.mask[own]].unique()
            assert len(donors) == 1
            counts[own, int(donors)] += 1
    assert bool((counts.diagonal() == 0).all())
    off = counts[~torch.eye(5, dtype=torch.bool)]
    assert float(off.min()) > 65
    assert float(off.max()) < 140


def test_given_donors_are_taken_instead_and_their_padding_is_not():
    donors = 10 + numbered(3)
    fits = torch.ones(3, 1, 16, 16, dtype=torch.bool)
    fits[..., :8] = False
    make = ForeignPatches(ForeignPatchSettings(share=1.0, alpha=(1.0, 1.0)))
    found = make(torch.zeros(50, 1, 16, 16), generator(), donors=donors, donors_valid=fits)
    assert set(found.images.unique().tolist()) == {0.0, 10.0, 11.0, 12.0}
    assert not found.mask[..., :8].any()


def test_the_padding_of_another_image_of_the_batch_is_not_taken():
    x = torch.rand(2, 1, 32, 32, generator=generator())
    valid = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    valid[1, ..., :16] = False
    make = ForeignPatches(ForeignPatchSettings(share=1.0))
    for seed in range(20):
        assert not make(x, generator(seed), valid=valid).mask[0, ..., :16].any()


def test_where_both_are_equal_ddad_marks_the_patch_and_fpi_does_not():
    x = torch.rand(6, 1, 32, 32, generator=generator())
    x[..., :16, :] = 0
    ddad = ForeignPatches(ForeignPatchSettings(share=1.0))(x, generator())
    fpi = ForeignPatches(ForeignPatchSettings(share=1.0, differing=True))(x, generator())
    assert torch.equal(ddad.images, fpi.images)
    assert bool(ddad.mask[..., :16, :].any())
    assert not fpi.mask[..., :16, :].any()
    assert torch.equal(fpi.mask, ddad.images != x)


def test_differences_within_the_tolerance_are_mixed_but_are_no_target():
    x = torch.rand(6, 1, 32, 32, generator=generator())
    make = ForeignPatches(ForeignPatchSettings(share=1.0, differing=True, tolerance=0.4))
    d = torch.rand(1, 1, 32, 32, generator=generator(1))
    found = make(x, generator(), donors=d)
    assert torch.equal(found.mask, found.images != x)
    assert torch.equal(found.target > 0, found.mask & ((d - x).abs() > 0.4))


def test_levels_give_factors_for_classes():
    found = patches(200, (32, 32), levels=4)
    alphas = found.target.flatten(1).amax(dim=1)
    values, counts = alphas.unique(return_counts=True)
    assert values.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert int(counts.min()) > 30


def test_one_image_without_donors_is_refused():
    with pytest.raises(UserError, match="the batch holds one"):
        ForeignPatches()(torch.rand(1, 1, 16, 16), generator())


def test_the_defaults_are_ddads():
    settings = ForeignPatchSettings()
    assert (settings.share, settings.alpha, settings.half_width) == (0.5, (0.0, 1.0), (0.05, 0.2))
    assert (settings.core, settings.target, settings.differing) == (0.8, "mask", False)


@pytest.mark.parametrize(
    "wrong", [{"alpha": (0.5, 0.2)}, {"alpha": (0, 2)}, {"core": 0}, {"target": "class"}, {"with": 1}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        ForeignPatchSettings(**wrong)
