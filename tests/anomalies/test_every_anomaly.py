"""What every way of making synthetic anomalies obeys."""

import pytest
import torch

from secondread.anomalies import ANOMALIES, find
from secondread.anomalies.anomaly import AnomalySettings

SIZES = [(32, 40), (12, 16, 20)]

pytestmark = pytest.mark.parametrize("name", sorted(ANOMALIES))


def images(size, count=8, channels=1, seed=0):
    return torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(seed))


def made(name, x, seed=3, valid=None, **settings):
    kind = find(name)
    make = kind(kind.Settings(**settings))
    return make(x, torch.Generator().manual_seed(seed), valid=valid)


def test_its_settings_carry_its_name(name):
    settings = find(name).Settings()
    assert isinstance(settings, AnomalySettings)
    assert settings.name == name
    assert find(name)().settings == settings


def test_each_variant_by_itself_changes_every_image(name):
    settings = find(name).Settings(share=0.1)
    x = images((32, 32))
    for variant in settings.variants():
        found = find(variant.name)(variant)(x, torch.Generator().manual_seed(0))
        assert bool(found.changed.all())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_mask_is_where_images_differ_and_elsewhere_nothing_does(name, size, channels):
    x = images(size, channels=channels)
    before = x.clone()
    found = made(name, x, share=1.0)
    assert torch.equal(x, before)
    assert found.images.shape == x.shape
    assert found.images.dtype == x.dtype
    assert found.mask.shape == found.target.shape == (8, 1, *size)
    assert found.mask.dtype == torch.bool
    assert found.target.dtype == torch.float32
    assert torch.equal((found.images != x).any(dim=1, keepdim=True), found.mask)
    assert bool(found.changed.all())


@pytest.mark.parametrize("size", SIZES)
def test_the_target_lies_within_the_mask(name, size):
    found = made(name, images(size), share=1.0)
    assert float(found.target.min()) == 0
    assert float(found.target.max()) <= 1
    assert not (found.target > 0)[~found.mask].any()
    assert bool((found.target > 0).flatten(1).any(dim=1).all())


def test_one_generator_makes_the_same_anomalies_and_another_makes_others(name):
    x = images((32, 32))
    one, again, other = made(name, x), made(name, x), made(name, x, seed=4)
    assert torch.equal(one.images, again.images)
    assert torch.equal(one.mask, again.mask)
    assert torch.equal(one.target, again.target)
    assert not torch.equal(one.mask, other.mask)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_asked_share_of_images_is_changed(name, share):
    found = made(name, images((16, 16), count=120), share=share)
    assert float(found.changed.float().mean()) == pytest.approx(share, abs=0.1 if 0 < share < 1 else 0)


@pytest.mark.parametrize("size", SIZES)
def test_padding_stays_as_it_is(name, size):
    x = images(size, count=24)
    valid = torch.ones(24, 1, *size, dtype=torch.bool)
    valid[::2, ..., : size[-1] // 2] = False
    valid[1::2, :, : size[0] // 3] = False
    x[~valid] = 0
    found = made(name, x, share=1.0, valid=valid)
    assert torch.equal(found.images[~valid], x[~valid])
    assert not found.mask[~valid].any()
    assert int(found.changed.sum()) > 20


def test_an_image_of_which_nothing_is_valid_stays_as_it_is(name):
    x = images((16, 16), count=4)
    valid = torch.ones(4, 1, 16, 16, dtype=torch.bool)
    valid[2] = False
    found = made(name, x, share=1.0, valid=valid)
    assert torch.equal(found.images[2], x[2])
    assert bool(found.images.isfinite().all())
    assert not found.changed[2]


def test_constant_images_stay_finite_and_unchanged(name):
    x = torch.full((6, 1, 16, 16), 0.25)
    found = made(name, x, share=1.0)
    assert torch.equal(found.images, x)


def test_shapes_that_do_not_fit_are_refused(name):
    make, generator = find(name)(), torch.Generator()
    x = images((16, 16), count=4)
    with pytest.raises(ValueError, match="mask of valid images"):
        make(x, generator, valid=torch.ones(4, 16, 16, dtype=torch.bool))
    with pytest.raises(ValueError, match="mask of valid images"):
        make(x, generator, valid=torch.ones(4, 1, 16, 16))
    with pytest.raises(ValueError, match="donors"):
        make(x, generator, donors=images((16, 20)))
    with pytest.raises(ValueError, match="float"):
        make((x * 255).byte(), generator)


def test_an_unknown_name_is_told_with_those_there_are(name):
    with pytest.raises(KeyError, match=name):
        find("foreign")
