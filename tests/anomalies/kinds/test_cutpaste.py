import numpy as np
import pytest
import torch

from secondread.anomalies.kinds.cutpaste import CutPaste, CutPasteSettings


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made(x, valid=None, **settings):
    return CutPaste(CutPasteSettings(**{"share": 1.0, **settings}))(x, generator(), valid=valid)


def numbered(count, size):
    """Every position holds its own number, so that what is pasted tells where it was cut out."""
    x = torch.arange(float(np.prod(size))).view(1, 1, *size)
    return x.expand(count, -1, *size).contiguous()


def box_of(mask):
    places = np.argwhere(mask[0].numpy())
    return places.min(axis=0), places.max(axis=0) + 1


@pytest.mark.parametrize("size", [(32, 40), (14, 16, 18)])
def test_a_patch_is_another_box_of_the_same_image(size):
    x = numbered(40, size)
    found = made(x, form="patch", jitter=0.0)
    steps = []
    for own, mask in zip(found.images, found.mask, strict=True):
        low, high = box_of(mask)
        inside = own[0][tuple(slice(a, b) for a, b in zip(low, high, strict=True))].long().numpy()
        taken = np.stack(np.unravel_index(inside, size), axis=-1)
        expected = np.stack(np.meshgrid(*[np.arange(n) for n in high - low], indexing="ij"), axis=-1)
        first = taken.reshape(-1, len(size))[0]
        assert (taken == expected + first).all()
        steps.append(tuple(first - low))
    assert len(set(steps)) > 30


@pytest.mark.parametrize("size", [(96, 96), (24, 24, 24)])
def test_area_and_aspect_keep_to_the_papers_ranges(size):
    found = made(numbered(100, size), form="patch")
    shares, ratios = [], []
    for mask in found.mask:
        low, high = box_of(mask)
        side = high - low
        shares.append(np.prod(side / size))
        ratios.append(side[1] / side[0])
    assert 0.015 < min(shares) < 0.03
    assert 0.13 < max(shares) < 0.165
    assert 0.25 < min(ratios) < 0.5
    assert 2.2 < max(ratios) < 4.2
    assert abs(np.mean(np.log(ratios))) < 0.2


def test_a_scar_is_long_thin_and_turned():
    found = made(numbered(150, (128, 128)), form="scar", jitter=0.0)
    areas = found.mask.flatten(1).sum(dim=1)
    assert int(areas.min()) >= 3
    assert int(areas.max()) <= 8.5 * 13  # 16 by 25 pixels at 256 pixels
    angles = []
    for mask in found.mask:
        places = np.argwhere(mask[0].numpy())
        values, vectors = np.linalg.eigh(np.cov(places.T) + 1e-9 * np.eye(2))
        if values[1] > 6 * values[0]:
            down, along = vectors[:, 1] * np.sign(vectors[0, 1])
            angles.append(np.degrees(np.arctan2(along, down)))
    assert len(angles) > 40
    assert min(angles) < -30
    assert max(angles) > 30
    assert np.abs(angles).max() < 58


def test_three_ways_are_told_by_their_class():
    x = numbered(300, (48, 48))
    found = CutPaste(CutPasteSettings(share=2 / 3))(x, generator())
    counts = torch.bincount(found.classes, minlength=3)
    assert bool(((counts - 100).abs() < 30).all())
    assert torch.equal(found.classes > 0, found.changed)
    area = found.mask.flatten(1).sum(dim=1)
    assert int(area[found.classes == 1].min()) > int(area[found.classes == 2].max())
    assert set(made(x, form="patch").classes.tolist()) == {1}
    assert set(made(x, form="scar").classes.tolist()) == {2}


def test_jitter_keeps_to_the_images_range_and_to_its_share():
    x = torch.rand(60, 1, 32, 32, generator=generator(1)) * 0.01
    x[..., 0, 0], x[..., -1, -1] = 0.0, 1.0
    x[..., :, 8:] += 0.5
    x.clamp_(0, 1)
    plain, other = made(x, form="patch", jitter=0.0), made(x, form="patch", jitter=0.1)
    assert bool((other.images >= 0).all())
    assert bool((other.images <= 1).all())
    both = plain.mask & other.mask & (plain.images > 0.45) & (plain.images < 0.55)
    ratio = other.images[both] / plain.images[both]
    assert 0.8 < float(ratio.min()) < 0.93
    assert 1.07 < float(ratio.max()) < 1.2


def test_nothing_is_cut_out_of_padding():
    x = torch.rand(30, 1, 32, 32, generator=generator(1))
    valid = torch.ones_like(x, dtype=torch.bool)
    valid[..., 10:20, 10:20] = False
    found = made(x.masked_fill(~valid, 0.5), valid=valid, jitter=0.0)
    assert not (found.images == 0.5)[valid].any()
    assert int(found.changed.sum()) > 25


def test_the_variants_of_three_ways_are_a_patch_and_a_scar():
    assert [one.form for one in CutPasteSettings().variants()] == ["patch", "scar"]
    assert [one.form for one in CutPasteSettings(form="scar").variants()] == ["scar"]
    for number, one in enumerate(CutPasteSettings().variants(), start=1):
        assert set(CutPaste(one)(torch.rand(8, 1, 32, 32), generator()).classes.tolist()) == {number}
