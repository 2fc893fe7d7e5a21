from dataclasses import replace

import numpy as np
import pytest
import torch

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.fitting.fit import fit
from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.readings.inputs import gather
from secondread.readings.pipeline import read_items
from secondread.recipes.recipe import Recipe


@pytest.fixture(scope="module")
def tested(phantoms):
    """The films of the test, as the files' path names them."""
    return [phantoms.reference(row) for row in phantoms.where("split=test").rows]


def with_rate(bundle, rate):
    """The same bundle for another false-alarm rate."""
    calibration = bundle.calibration
    settings = calibration.settings.model_copy(update={"false_alarm_rate": rate})
    return replace(bundle, calibration=replace(calibration, settings=settings))


def assert_as_the_files(found, results):
    """Bit for bit what was read from files."""
    readings = [result.reading for result in results]
    assert found.scores.tolist() == [reading.score for reading in readings]
    assert found.p_values.tolist() == [reading.p_value for reading in readings]
    flags = [None] * len(found) if found.flags is None else found.flags.tolist()
    assert flags == [reading.flagged for reading in readings]
    for name, values in found.parts.items():
        assert values.tolist() == [reading.parts[name] for reading in readings], name
    for name, values in found.baselines.items():
        assert values.tolist() == [reading.baselines[name.replace("-", "_")] for reading in readings], name
    if found.without_complexity is not None:
        plain = [reading.score_without_complexity for reading in readings]
        assert found.without_complexity.tolist() == plain
    for number, result in enumerate(results):
        if found.maps is None:
            assert result.map is None
        else:
            np.testing.assert_array_equal(found.maps[number], result.map)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_images_in_memory_are_judged_bit_for_bit_as_files_are(mapping_bundle, tested, batch_size):
    results = list(
        read_items(mapping_bundle, gather(tested).items, maps=True, workers=0, batch_size=batch_size)
    )
    found = mapping_bundle.judge_images(map(read_image, tested), maps=True)
    assert found.maps is not None
    assert found.without_complexity is not None
    assert_as_the_files(found, results)


def test_volumes_and_what_is_drawn_at_scoring_are_those_of_the_files(tmp_path):
    folder = tmp_path / "heads"
    heads = Manifest.read(make_phantoms(folder, seed=2, rank=3, n_normal=16, n_abnormal=4, size=(16, 16, 16)))
    rows = [replace(row, label="", split="train") if row.label == "abnormal" else row for row in heads]
    stages = {name: {"steps": 1, "batch_size": 4} for name in ("normal", "mixture")}
    recipe = Recipe.from_mapping(
        {
            "preprocessing": {"size": [8, 8, 8]},
            "detector": {
                "name": "glow-posterior", "flow": {"levels": 1, "depth": 1, "width": 4}, "draws": 2,
                "map": "likelihood",
            },
            "stages": stages,
            "cohorts": {"validation": 0.2, "calibration": 0.2},
            "precision": "float32",
        }
    )  # fmt: skip
    bundle = fit(
        recipe, replace(heads, rows=tuple(rows)), tmp_path / "bundle", cache=tmp_path / "cache", workers=0,
        progress=False,
    )  # fmt: skip
    files = [heads.reference(row) for row in heads.rows[:3]]
    results = list(read_items(bundle, gather(files).items, maps=True, workers=0))
    assert_as_the_files(bundle.judge_images(map(read_image, files), maps=True), results)
    prepared = bundle.prepare(map(read_image, files))
    pixels = np.stack([image.pixels for image in prepared])
    others = bundle.judge(pixels, digests=["ff" * 20] * 3)
    assert not np.array_equal(others.scores, [result.reading.score for result in results])


def test_prepared_images_are_judged_as_those_that_come(mapping_bundle, tested):
    prepared = mapping_bundle.prepare(map(read_image, tested))
    pixels = np.stack([image.pixels for image in prepared])
    whole = np.ones((len(pixels), 1, *pixels.shape[2:]), bool)
    results = list(read_items(mapping_bundle, gather(tested).items, workers=0))
    digests = [image.digest for image in prepared]
    assert_as_the_files(mapping_bundle.judge(pixels, whole, digests), results)
    assert_as_the_files(mapping_bundle.judge(torch.from_numpy(pixels), digests=digests), results)


def test_arrays_are_judged_as_the_archive_that_holds_them(fitted, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 4096, (4, 40, 56)).astype(np.uint16)
    np.savez(tmp_path / "films.npz", films=images)
    results = list(read_items(fitted, gather(tmp_path / "films.npz").items, workers=0))
    assert_as_the_files(fitted.judge_images(images), results)
    assert_as_the_files(fitted.judge_images(images[:, np.newaxis]), results)
    tensors = [torch.from_numpy(image) for image in images]
    assert fitted.judge_images(tensors).scores.tolist() == [r.reading.score for r in results]


def test_an_image_without_a_finite_score_has_no_decision(fitted):
    pixels = np.random.default_rng(0).random((3, 1, 32, 32), dtype=np.float32)
    pixels[1, 0, 3, 3] = np.nan
    found = with_rate(fitted, 0.2).judge(pixels)
    assert found.finite.tolist() == [True, False, True]
    assert np.isnan([found.scores[1], found.p_values[1]]).all()
    assert not found.flags[1]
    assert found.flags[0] == (found.p_values[0] <= 0.2)
    assert found.scores[2] == fitted.judge(pixels[2:]).scores[0]
    assert "1 not finite" in repr(found)
    assert len(repr(found)) < 300


def test_a_recipe_that_resamples_takes_the_spacing(fitted, phantoms):
    image = np.random.default_rng(0).random((48, 48))
    (prepared,) = fitted.prepare([image], spacing=[0.5, 0.25])
    assert prepared.placement.geometry.spacing == (0.5, 0.25)
    assert fitted.prepare([image])[0].placement.geometry.spacing is None


def test_arrays_that_are_no_images_of_the_recipe_are_told_by_number(fitted):
    image = np.zeros((9, 9))
    for wrong, told in (
        (np.zeros(9), r"image 1: an array of shape \(9,\)"),
        (np.zeros((2, 3, 9, 9)), r"image 1: an array of shape \(2, 3, 9, 9\)"),
        (np.zeros((9, 0)), r"image 1: an array of shape \(9, 0\)"),
        (np.full((9, 9), np.nan), "image 1: no voxel is finite"),
        (np.array([["a", "b"]]), "image 1: an array of <U1 is no image"),
        (np.zeros((9, 9), complex), "image 1: an array of complex128 is no image"),
    ):
        with pytest.raises(ImageError, match=told):
            fitted.judge_images([image, wrong])
    for spacing in ([1.0], [0.0, 1.0], [1.0, np.inf]):
        with pytest.raises(ImageError, match="image 0: the spacing"):
            fitted.judge_images([image], spacing=spacing)


def test_unprepared_arrays_are_not_taken_for_prepared_ones(fitted):
    with pytest.raises(ValueError, match="`judge_images` prepares"):
        fitted.judge(np.zeros((2, 1, 48, 48)))
    with pytest.raises(ValueError, match="1 digests were given for 2 images"):
        fitted.judge(np.zeros((2, 1, 32, 32)), digests=["00" * 20])
    for nothing in (lambda: fitted.judge(np.zeros((0, 1, 32, 32))), lambda: fitted.judge_images([])):
        with pytest.raises(ValueError, match="no image was given"):
            nothing()


def test_too_few_calibration_patients_decide_nothing(fitted, tested):
    assert fitted.calibration.images.patients < 19
    found = fitted.judge_images(map(read_image, tested))
    assert found.flags is None
    assert np.isfinite(found.p_values).all()
    assert "no decisions" in repr(found)
    assert {r.reading.flagged for r in read_items(fitted, gather(tested).items, workers=0)} == {None}
    assert with_rate(fitted, 0.2).judge_images(map(read_image, tested)).flags is not None
