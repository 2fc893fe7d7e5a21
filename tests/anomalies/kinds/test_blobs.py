import pytest
import torch
from scipy import ndimage

from secondread.anomalies.kinds.blobs import Blobs, BlobSettings


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(count, size, seed=5):
    return torch.randn(count, 1, *size, generator=generator(seed))


def made(x, **settings):
    return Blobs(BlobSettings(**{"share": 1.0, **settings}))(x, generator())


@pytest.mark.parametrize("size", [(64, 64), (20, 24, 28)])
def test_an_image_has_from_one_blob_to_the_asked_number(size):
    found = made(noise(60, size), most=3, radius=(0.05, 0.08))
    counts = {ndimage.label(target[0].numpy() > 0, torch.ones([3] * len(size)))[1] for target in found.target}
    assert counts == {1, 2, 3}


def test_bright_blobs_only_add_and_dark_ones_only_take_away():
    x = noise(20, (32, 32))
    assert bool((made(x, bright=1.0).images >= x).all())
    assert bool((made(x, bright=0.0).images <= x).all())
    change = made(x).images - x
    assert float(change.min()) < 0 < float(change.max())


def test_the_middle_of_a_blob_changes_by_the_contrast_and_its_edge_is_soft():
    x = torch.zeros(40, 1, 64, 64)
    x[..., ::2] = 1  # and room above and below, so that nothing is clipped
    x[:, :, 0, 0], x[:, :, 0, 1] = 100.0, -100.0
    deviation = x[0].std(correction=0)
    found = made(x, most=1, contrast=(1.5, 1.5), core=0.5, visible=0, target="profile")
    change = (found.images - x).abs()
    torch.testing.assert_close(change, 1.5 * deviation * found.target, atol=1e-4, rtol=0)
    peaks = change.flatten(1).amax(dim=1)
    torch.testing.assert_close(peaks, (1.5 * deviation).expand(40), rtol=1e-4, atol=0)
    for target in found.target:
        assert bool(((target > 0.2) & (target < 0.8)).any())


def test_the_target_mask_ends_where_half_of_the_contrast_is_left():
    x = noise(20, (64, 64))
    mask, profile = made(x, visible=0), made(x, visible=0, target="profile")
    assert torch.equal(mask.images, profile.images)
    assert torch.equal(mask.target, (profile.target >= 0.5).float())


@pytest.mark.parametrize("size", [(85, 85), (35, 45, 55)])
def test_half_axes_keep_to_their_range(size):
    found = made(noise(80, size), most=1, radius=(0.1, 0.1), core=0.5, visible=0)
    volume = {2: torch.pi * 0.1**2, 3: 4 / 3 * torch.pi * 0.1**3}[len(size)]
    shares = found.target.flatten(1).mean(dim=1)
    assert float(shares.mean()) == pytest.approx(volume, rel=0.08)
    assert float(shares.std()) < 0.15 * volume


def test_values_stay_within_those_of_the_image():
    x = noise(20, (32, 32))
    found = made(x, contrast=(5.0, 5.0)).images
    assert bool((found.flatten(1).amax(1) <= x.flatten(1).amax(1)).all())
    assert bool((found.flatten(1).amin(1) >= x.flatten(1).amin(1)).all())


def test_what_cannot_be_seen_is_no_target():
    x = torch.zeros(30, 1, 32, 32)
    x[..., 16:] = 1
    found = made(x, bright=0.0)
    assert not found.mask[..., :16].any()
    faint = made(noise(30, (32, 32)), contrast=(0.05, 0.05))
    assert bool(faint.changed.all())
    assert not faint.target.any()


def test_a_scaled_image_gets_scaled_blobs():
    x = noise(6, (32, 32)).double()
    plain, scaled = made(x), made(x * 40 - 7)
    torch.testing.assert_close(scaled.images, plain.images * 40 - 7)
    assert torch.equal(plain.target, scaled.target)


def test_padding_does_not_count_as_a_value_of_the_image():
    x = noise(12, (32, 32))
    valid = torch.zeros(12, 1, 32, 32, dtype=torch.bool)
    valid[..., 8:24, 8:24] = True
    one = Blobs(BlobSettings(share=1.0))(x.masked_fill(~valid, -50.0), generator(), valid=valid)
    other = Blobs(BlobSettings(share=1.0))(x.masked_fill(~valid, 900.0), generator(), valid=valid)
    assert torch.equal(one.images[valid], other.images[valid])
