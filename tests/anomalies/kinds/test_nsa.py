import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import ndimage
from scipy.stats import gamma, norm

from secondread.anomalies.kinds.nsa import NaturalPatches, NaturalSettings, resized_size
from secondread.errors import UserError

NEIGHBOURS = torch.tensor([[[[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]]]])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(count, size, seed=0):
    return torch.rand(count, 1, *size, generator=generator(seed))


def patches(x, d, seed=0, valid=None, **settings):
    make = NaturalPatches(NaturalSettings(**{"share": 1.0, **settings}))
    return make(x, generator(seed), donors=d, valid=valid)


def laplacian(images):
    return torch.nn.functional.conv2d(images.double(), NEIGHBOURS.double())[:, 0]


def test_inside_a_patch_gradients_are_those_of_the_source_moved():
    x, d = 0.5 * torch.ones(6, 1, 32, 32), noise(1, (32, 32))
    x[..., 0, 0], x[..., 0, 1] = -9, 9  # nothing is clipped
    found = patches(x, d, most=1, blend="normal", resize=(1, 1), bounds=(0.25, 1))
    theirs = laplacian(d)[0]
    for number in range(6):
        rows, columns = (found.images != x)[number, 0].nonzero().T
        top, left, height, width = (
            int(rows.min()),
            int(columns.min()),
            int(rows.max() - rows.min()) + 1,
            int(columns.max() - columns.min()) + 1,
        )
        ours = laplacian(found.images)[number, top - 1 : top - 1 + height, left - 1 : left - 1 + width]
        apart = [
            float((theirs[a : a + height, b : b + width] - ours).abs().max())
            for a in range(31 - height)
            for b in range(31 - width)
        ]
        assert min(apart) < 1e-5


@pytest.mark.parametrize("chance", [0.1, 0.5, 0.9])
def test_sizes_are_gamma_distributed_and_resized_by_a_cut_normal(chance):
    make = NaturalPatches(NaturalSettings(bounds=(0.03, 0.4)))
    scene = make.scenes(noise(1, (200, 100)), None)(0)
    (((shares,),), ((factor,),)) = make.sizes(torch.tensor([[[chance, 0.5, chance, 0.0]]]))
    placed = make.placed(shares, factor, np.full((2, 5, 2), 0.5), scene, scene)
    assert placed is not None
    half = [int((0.05 + gamma.ppf(c, 2, scale=0.03)) * n) for c, n in ((chance, 200), (0.5, 100))]
    factor = min(max(norm.ppf(chance, 1, 0.5), 0.7), 1.3)
    limits = [min(80 / (2 * half[0]), 40 / (2 * half[1])), max(8 / (2 * half[0]), 8 / (2 * half[1]))]
    factor = min(max(factor, limits[1]), limits[0])
    assert placed[0].size == tuple(round(2 * h * factor) for h in half)


def test_the_resized_patch_keeps_its_shape_within_the_bounds():
    assert resized_size((40, 20), 1.3, (100, 100), (0.03, 0.4)) == [40, 20]
    assert resized_size((20, 10), 1.3, (100, 100), (0.03, 0.4)) == [26, 13]
    assert resized_size((20, 10), 0.7, (100, 100), (0.03, 0.4)) == [16, 8]
    assert resized_size((20, 10, 16), 1.0, (6, 40, 40), (0.03, 0.4)) == [6, 8, 8]


@pytest.mark.parametrize("size", [(40, 40), (16, 18, 20)])
def test_the_target_is_the_logistic_function_of_the_median_change(size):
    x = ndimage.gaussian_filter(noise(3, size).numpy(), (0, 0, *[1.5] * len(size)))
    d = ndimage.gaussian_filter(noise(1, size, 1).numpy(), (0, 0, *[1.5] * len(size)))
    x, d = (0.5 + 0.15 * (images - 0.5) / images.std() for images in (x, d))
    found = patches(torch.from_numpy(x), torch.from_numpy(d), most=1, bounds=(0.35, 0.8))
    radius = 5 if len(size) == 2 else 2
    grid = np.indices((2 * radius + 1,) * len(size)) - radius
    disk = (grid**2).sum(axis=0) <= radius**2
    for number in range(3):
        change = 255 * np.abs(found.images[number, 0].numpy() - x[number, 0])
        seen = ndimage.median_filter((change > 1).astype(np.uint8), size=5, mode="nearest") > 0
        seen &= change > 0
        middle = ndimage.median_filter(change * seen, footprint=disk, mode="nearest")
        theirs = seen / (1 + np.exp(-0.5 * (middle - 4)))
        np.testing.assert_allclose(found.target[number, 0].numpy(), theirs, atol=1e-4)
    assert float(found.target.max()) > 0.5


def test_the_target_depends_on_grey_levels_and_not_on_the_unit():
    x, d = noise(4, (32, 32)), noise(2, (32, 32), 1)
    one = patches(x, d)
    other = patches(255 * x, 255 * d, grey_level=1)
    np.testing.assert_allclose(other.target, one.target, atol=1e-3)
    np.testing.assert_allclose(other.images, 255 * one.images, atol=1e-3)


def test_the_first_patch_is_always_there_and_each_further_one_by_chance():
    x, d = noise(12, (48, 48)), noise(4, (48, 48), 1)
    counts = {}
    for further in (0, 0.5, 1):
        found = patches(x, d, further=further, most=2, blend="normal", bounds=(0.03, 0.2))
        counts[further] = [ndimage.label(mask[0])[1] for mask in found.mask]
    assert set(counts[0]) == {1}
    assert set(counts[0.5]) == {1, 2}
    assert sum(counts[1]) > 20


def test_patches_lie_on_the_object_and_hold_object():
    rows, columns = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    thing = ((rows - 24) ** 2 + (columns - 20) ** 2) < 260
    x = torch.where(thing, 0.5 + 0.4 * noise(20, (48, 48)), 0.0)
    found = patches(x, None, foreground=0.1, object_share=0.9, overlap=0.9, most=1, bounds=(0.05, 0.3))
    assert int(found.changed.sum()) > 15
    for mask in found.mask[found.changed]:
        assert float(thing[mask[0]].float().mean()) > 0.75
    none = patches(x, None, foreground=0.99)
    assert not none.changed.any()


def test_padding_of_either_image_has_no_part_in_it():
    x = noise(10, (32, 32))
    valid = torch.ones(10, 1, 32, 32, dtype=torch.bool)
    valid[..., :9], valid[:, :, 20:24, 20:24] = False, False
    x[~valid] = -50
    found = patches(x, None, valid=valid, object_share=0.5, overlap=0.5, blend="normal")
    assert bool(found.changed.any())
    assert torch.equal(found.images[~valid], x[~valid])
    assert float(found.images[valid].min()) >= 0


def test_one_image_without_donors_and_four_axes_are_refused():
    with pytest.raises(UserError, match="nsa takes a patch from another image"):
        NaturalPatches()(noise(1, (16, 16)), generator())
    with pytest.raises(ValueError, match="up to three axes"):
        NaturalPatches()(noise(2, (4, 4, 4, 4)), generator())


def test_the_defaults_are_the_papers_for_chest_films():
    settings = NaturalSettings()
    assert (settings.most, settings.further, settings.bounds) == (3, 0.5, (0.03, 0.4))
    assert (settings.half_width.shape, settings.half_width.scale, settings.half_width.offset) == (
        2,
        0.03,
        0.05,
    )
    assert (settings.slope, settings.middle, settings.least) == (0.5, 4, 1)
    with pytest.raises(ValidationError):
        NaturalSettings(resize=(1.3, 0.7))
