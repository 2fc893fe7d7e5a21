import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from secondread.errors import UserError
from secondread.images.image import Geometry, Image
from secondread.images.read import read_image
from secondread.preprocessing.alignment.registration import Bounds
from secondread.preprocessing.alignment.warp import inside_of, inverse, unit_frame, warp
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings


def blobs(rank, size, seed=0):
    noise = np.random.default_rng(seed).normal(size=(size,) * rank)
    picture = gaussian_filter(noise, size / 12)
    picture = (picture - picture.min()) / (picture.max() - picture.min())
    distance = sum(((np.indices(picture.shape) - size / 2) / (0.42 * size)) ** 2)
    return (picture * (distance < 1)).astype(np.float32)


def moved(picture, seed, amount):
    rank = picture.ndim
    frame = unit_frame(picture.shape)
    transform = np.eye(rank + 1)
    transform[:rank] += np.random.default_rng(seed).uniform(-amount, amount, (rank, rank + 1))
    return warp(picture, inverse(frame) @ transform @ frame, order=1)


def image(picture, digest="0" * 40):
    return Image(picture[np.newaxis], Geometry(), "phantom", digest)


def preprocessing(rank, size, **settings):
    return Preprocessing(
        PreprocessingSettings.model_validate(
            {"size": (size,) * rank, "steps": [{"window": {"low": 0, "high": 1}}, {"align": settings}]}
        )
    )


@pytest.mark.parametrize(("rank", "size", "count"), [(2, 96, 12), (3, 32, 6)])
def test_moved_copies_come_to_lie_on_each_other(rank, size, count):
    picture = blobs(rank, size)
    copies = [moved(picture, seed, 0.1) for seed in range(count)]
    fitted = preprocessing(rank, size).fit(lambda: map(image, copies))
    aligned = [fitted.apply(image(copy)) for copy in copies]
    before = np.var(copies, axis=0).mean()
    valid = np.all([a.valid if a.valid is not None else np.ones_like(picture, bool) for a in aligned], axis=0)
    after = np.var([a.pixels[0] for a in aligned], axis=0)[valid].mean()
    assert all(a.placement.aligned == "aligned" for a in aligned)
    assert after < 0.2 * before


def test_normals_as_a_whole_do_not_drift():
    copies = [moved(blobs(2, 64), seed, 0.1) for seed in range(10)]
    fitted = preprocessing(2, 64).fit(lambda: map(image, copies))
    matrices = [fitted.apply(image(copy)).placement.alignment for copy in copies]
    frame = unit_frame((64, 64))
    mean = frame @ np.mean([m for m in matrices if m is not None], axis=0) @ inverse(frame)
    np.testing.assert_allclose(mean, np.eye(3), atol=0.06)


def test_a_map_follows_its_picture_back_to_the_file():
    picture = blobs(2, 96)
    copies = [moved(picture, seed, 0.1) for seed in range(8)]
    fitted = preprocessing(2, 96).fit(lambda: map(image, copies))
    prepared = fitted.apply(image(copies[3]))
    back = prepared.placement.to_file_grid(prepared.pixels[0])
    seen = prepared.placement.seen_on_file_grid()
    assert 0.7 < seen.mean() <= 1
    assert np.abs(back - copies[3])[seen].mean() < 0.01


def test_what_is_not_seen_gets_the_lowest_value_or_the_one_asked_for():
    copies = [moved(blobs(2, 64), seed, 0.15) for seed in range(8)]
    fitted = preprocessing(2, 64).fit(lambda: map(image, copies))
    placement = next(
        p for p in (fitted.apply(image(c)).placement for c in copies) if not p.seen_on_file_grid().all()
    )
    scores = np.random.default_rng(0).uniform(1, 2, (64, 64))
    unseen = ~placement.seen_on_file_grid()
    assert (placement.to_file_grid(scores)[unseen] == np.float32(scores.min())).all()
    assert np.isnan(placement.to_file_grid(scores, outside=float("nan"))[unseen]).all()


def test_a_constant_image_and_noise_are_left_in_place_and_recorded():
    copies = [moved(blobs(2, 64), seed, 0.05) for seed in range(5)]
    fitted = preprocessing(2, 64).fit(lambda: map(image, copies))
    constant = fitted.apply(image(np.full((64, 64), 0.5, np.float32)))
    assert constant.placement.aligned == "left in place: the image is constant"
    assert constant.placement.alignment is None
    negative = fitted.apply(image(1 - blobs(2, 64)))
    assert negative.placement.aligned is not None
    assert np.isfinite(negative.pixels).all()


def test_a_transform_is_kept_within_its_bounds():
    bounds = Bounds(rotation=0.2, scale=1.2, shift=0.3)
    for rank in (2, 3):
        wild = np.eye(rank + 1)
        wild[:rank] += np.random.default_rng(rank).normal(size=(rank, rank + 1))
        if np.linalg.det(wild[:rank, :rank]) < 0:
            wild[:rank, 0] *= -1
        kept, changed = bounds.clip(wild)
        assert changed
        stretch = np.linalg.svd(kept[:rank, :rank])[1]
        assert stretch.max() <= 1.2 + 1e-9
        assert stretch.min() >= 1 / 1.2 - 1e-9
        assert np.abs(kept[:rank, rank]).max() <= 0.3
        again, changed = bounds.clip(kept)
        np.testing.assert_allclose(again, kept, atol=1e-9)
        assert not changed


def test_aligning_needs_normals():
    unfitted = preprocessing(2, 32)
    assert unfitted.needs_fit
    with pytest.raises(UserError, match="fitted on normal images first"):
        unfitted.apply(image(blobs(2, 32)))
    with pytest.raises(UserError, match="there is none"):
        unfitted.fit(lambda: iter([]))
    with pytest.raises(UserError, match=r"all 2 of them are of one value throughout;.* a window that lies"):
        unfitted.fit(lambda: iter([image(0 * blobs(2, 32))] * 2))


def test_fitted_state_brings_the_same_arrays_in_another_process():
    copies = [moved(blobs(2, 64), seed, 0.1) for seed in range(5)]
    fitted = preprocessing(2, 64).fit(lambda: map(image, copies))
    data, arrays = fitted.state()
    again = Preprocessing.from_state(fitted.settings, data, arrays)
    assert again.digest == fitted.digest
    assert fitted.unaligned.digest != fitted.digest
    np.testing.assert_array_equal(again.apply(image(copies[1])).pixels, fitted.apply(image(copies[1])).pixels)
    with pytest.raises(ValueError, match="size"):
        Preprocessing.from_state(fitted.settings, data, {"align_mean": np.zeros((9, 9), np.float32)})


def test_edges_are_repeated_beyond_the_image_and_marked():
    matrix = np.array([[1.0, 0, -5], [0, 1, 0], [0, 0, 1]])
    assert not inside_of((20, 20), matrix)[:4].any()
    assert inside_of((20, 20), matrix)[5:].all()


@pytest.mark.slow
def test_real_chest_films_come_nearer_to_each_other(shared_data):
    folder = shared_data / "kermany-cxr" / "train" / "normal"
    paths = sorted(folder.glob("*.jp*g"))[:600:6]
    if len(paths) < 100:
        pytest.skip("no kermany-cxr in the shared data")
    images = [read_image(path) for path in paths]
    settings = PreprocessingSettings.model_validate(
        {"size": (128, 128), "steps": [{"window": "header"}, {"align": {}}]}
    )
    fitted = Preprocessing(settings).fit(lambda: iter(images[:50]))
    variance, sharpness = {}, {}
    for name, chosen in (("before", fitted.unaligned), ("after", fitted)):
        held_out = [chosen.apply(one) for one in images[50:]]
        pixels = np.stack([p.pixels[0] for p in held_out])
        valid = np.stack([np.ones((128, 128), bool) if p.valid is None else p.valid for p in held_out])
        pixels -= np.stack([x[v].mean() for x, v in zip(pixels, valid, strict=True)])[:, None, None]
        pixels /= np.stack([x[v].std() for x, v in zip(pixels, valid, strict=True)])[:, None, None]
        mean = (pixels * valid).sum(0) / np.maximum(valid.sum(0), 1)
        variance[name] = ((pixels - mean) ** 2)[valid].mean()
        slope = np.gradient(mean)
        sharpness[name] = np.mean(slope[0] ** 2 + slope[1] ** 2)
    assert variance["after"] < 0.75 * variance["before"]
    assert sharpness["after"] > 1.3 * sharpness["before"]
