import numpy as np
import pytest

from secondread.calibration.map_moments import MapMoments


def maps_of(seed, n=30, size=(20, 20)):
    random = np.random.default_rng(seed)
    return {
        "residual": random.gamma(2, size=(n, *size)).astype(np.float32),
        "likelihood": (1000 + random.normal(size=(n, *size))).astype(np.float32),
    }


def gathered(maps, batch, **options):
    moments = MapMoments(**options)
    n = len(next(iter(maps.values())))
    for at in range(0, n, batch):
        moments.update({name: values[at : at + batch] for name, values in maps.items()})
    return moments


def test_moments_equal_numpy_over_all_pixels():
    maps = maps_of(0)
    moments = gathered(maps, 7)
    for name, values in maps.items():
        assert moments.mean[name] == pytest.approx(values.astype(np.float64).mean(), rel=1e-12)
        assert moments.sd[name] == pytest.approx(values.astype(np.float64).std(), rel=1e-9)


def test_batches_do_not_matter():
    maps = maps_of(1)
    one, many = gathered(maps, 1, sample=500), gathered(maps, 30, sample=500)
    assert one.mean == many.mean
    assert one.sd == many.sd
    for name in maps:
        np.testing.assert_array_equal(one.sample()[name], many.sample()[name])


def test_the_sample_is_bounded_uniform_and_keeps_the_parts_of_a_pixel_together():
    position = np.arange(40 * 400, dtype=np.float32).reshape(40, 20, 20)
    moments = gathered({"a": position, "b": 2 * position}, 4, sample=2000)
    sample = moments.sample()
    assert sample["a"].size == 2000
    np.testing.assert_array_equal(2 * sample["a"], sample["b"])
    assert np.unique(sample["a"]).size == 2000
    share = np.histogram(sample["a"], bins=8, range=(0, 16000))[0] / 2000
    np.testing.assert_allclose(share, 1 / 8, atol=0.03)


def test_few_pixels_are_all_kept():
    maps = maps_of(2, n=3)
    np.testing.assert_array_equal(gathered(maps, 2).sample()["residual"], maps["residual"].ravel())


def test_padding_does_not_count():
    maps = {"a": np.stack([np.pad(np.ones((4, 4), np.float32), 2, constant_values=np.nan)] * 2)}
    valid = np.pad(np.ones((4, 4), bool), 2)[None, None].repeat(2, 0)
    moments = MapMoments()
    moments.update(maps, valid)
    assert moments.pixels == 32
    assert moments.mean == {"a": 1.0}


def test_wrong_maps_are_refused():
    moments = MapMoments()
    moments.update({"a": np.zeros((1, 3, 3), np.float32)})
    with pytest.raises(ValueError, match="differ from those before"):
        moments.update({"b": np.zeros((1, 3, 3), np.float32)})
    with pytest.raises(ValueError, match="image 1 of the batch is not finite"):
        moments.update({"a": np.stack([np.zeros((3, 3)), np.full((3, 3), np.inf)]).astype(np.float32)})
