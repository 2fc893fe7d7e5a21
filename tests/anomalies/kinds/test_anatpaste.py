import math

import pytest
import torch
from scipy import ndimage

from secondread.anomalies.kinds.anatpaste import AnatPaste, AnatPasteSettings


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made(x, valid=None, **settings):
    return AnatPaste(AnatPasteSettings(**{"share": 1.0, **settings}))(x, generator(), valid=valid)


@pytest.mark.parametrize("size", [(32, 40), (14, 16, 18)])
def test_only_the_foreground_changes(size):
    x = torch.rand(20, 1, *size, generator=generator(1))
    x[:, :, : size[0] // 2] += 2
    dark, bright = made(x, under=1.5), made(x, above=1.5)
    assert not dark.mask[:, :, : size[0] // 2].any()
    assert not bright.mask[:, :, size[0] // 2 :].any()
    assert bool(dark.changed.all())
    assert bool(bright.changed.all())


def test_an_image_without_foreground_stays_as_it_is():
    x = torch.rand(4, 1, 16, 16, generator=generator(1))
    found = made(x, above=5.0)
    assert torch.equal(found.images, x)
    assert not found.changed.any()


def test_alpha_mixes_the_image_with_a_moved_part_of_it():
    """Values 0 and 1 in halves: where a 1 is pasted onto 0, the new value is alpha itself."""
    x = torch.zeros(60, 1, 64, 64)
    x[..., 32:] = 1
    found = made(x, jitter=0.0, target="opacity")
    risen = found.mask & (x == 0)
    torch.testing.assert_close(found.images[risen], found.target[risen])
    fallen = found.mask & (x == 1)
    torch.testing.assert_close(1 - found.images[fallen], found.target[fallen])
    highest = torch.cat([found.target[risen], found.target[fallen]])
    assert float(highest.max()) <= 1
    assert float(highest.max()) > 0.8


@pytest.mark.parametrize("blur", [2.0, 3.0])
def test_the_blurred_rectangle_is_scipys(blur):
    """A rectangle of whole pixels far from every edge, drawn and then blurred; within the patch."""
    make = AnatPaste(AnatPasteSettings(margin=0.0, blur=(blur / 64, blur / 64), ellipses=0.0))
    along = torch.arange(64.0)
    offsets = [along.view(1, 1, 64, 1) - 31, along.view(1, 1, 1, 64) - 31]
    offsets = [offset.expand(1, 1, 64, 64) for offset in offsets]
    sides = torch.tensor([[17.0, 25.0]])
    one = torch.zeros(1)
    shape = make.shape(one + 0.5, one, sides, torch.tensor([[64.0, 64.0]]), offsets)[0, 0]
    drawn = torch.zeros(64, 64)
    drawn[23:40, 19:44] = 1
    blurred = ndimage.gaussian_filter(drawn.numpy(), blur, truncate=6)
    torch.testing.assert_close(shape, torch.from_numpy(blurred), atol=0.012, rtol=0)


def test_shapes_are_rectangles_and_ellipses_and_smaller_than_the_patch():
    x = torch.rand(150, 1, 64, 64, generator=generator(1))
    sharp = {"blur": (0.0, 0.0), "jitter": 0.0, "area": (0.1, 0.1), "aspect": (1.0, 1.0), "margin": 0.0}
    for ellipses, share in ((0.0, 1.0), (1.0, math.pi / 4)):
        areas = made(x, ellipses=ellipses, **sharp).target.flatten(1).mean(dim=1)
        assert float(areas.max()) == pytest.approx(0.1 * share, rel=0.1)
    smaller = made(x, ellipses=0.0, **{**sharp, "margin": 4 / 64}).target.flatten(1).mean(dim=1)
    assert float(smaller.max()) == pytest.approx((20 - 8) ** 2 / 64**2, rel=0.2)


def test_values_stay_within_those_of_the_image():
    x = torch.rand(20, 3, 32, 32, generator=generator(1)) - 3
    found = made(x, jitter=0.5).images
    assert bool((found.flatten(1).amax(1) <= x.flatten(1).amax(1)).all())
    assert bool((found.flatten(1).amin(1) >= x.flatten(1).amin(1)).all())
