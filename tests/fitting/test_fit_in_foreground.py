"""Rows of an image and the mask of its foreground, from the manifest to maps and metrics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.evaluation.evaluate import evaluate
from secondread.fitting.fit import fit
from secondread.images.read import read_image
from secondread.readings.readings import Readings
from secondread.readings.score_into import score_into
from secondread.recipes.recipe import Recipe

PLACE = np.mgrid[:24, :20]
BODY = (PLACE[0] > 4) & (PLACE[0] < 20) & (PLACE[1] > 3) & (PLACE[1] < 16)


def slice_of(folder: Path, name: str, *, lesion: bool) -> Row:
    """A body with noise in it and a coil beside it that is brighter than any lesion."""
    generator = np.random.default_rng(list(name.encode()))
    values = np.where(BODY, 100 + 10 * generator.normal(size=BODY.shape), 0)
    values[:2] = 250
    marked = np.hypot(PLACE[0] - 11, PLACE[1] - 9) < 2.5
    if lesion:
        values[marked] += 80
    for ending, array in (("", values), ("_body", BODY * 255), ("_mask", marked * 255)):
        Picture.fromarray(array.clip(0, 255).astype(np.uint8)).save(folder / f"{name}{ending}.png")
    label, mask = ("abnormal", f"{name}_mask.png") if lesion else ("normal", "")
    return Row(f"{name}.png|{name}_body.png", "", label, patient_id=name, mask=mask)


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("slices")
    rows = [replace(slice_of(folder, f"n{i}", lesion=False), split="train") for i in range(24)]
    rows += [replace(slice_of(folder, f"m{i}", lesion=False), split="test") for i in range(3)]
    rows += [replace(slice_of(folder, f"a{i}", lesion=True), split="test") for i in range(3)]
    return Manifest.read(Manifest(tuple(rows), folder).write(folder / "slices.csv"))


def recipe_of(**preprocessing) -> Recipe:
    return Recipe.from_mapping(
        {
            "preprocessing": {"size": [24, 20], "foreground": "given", **preprocessing},
            "detector": {"name": "intensity", "foreground": 0.0, "erosion": 0},
            "cohorts": {"validation": 0.2, "calibration": 0.5},
            "maps": {"erode": 1},
        }
    )


@pytest.fixture(scope="module")
def bundle(slices: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("fitted")
    return fit(recipe_of(), slices, folder / "bundle", cache=folder / "cache", workers=0, progress=False)


def test_maps_and_metrics_are_of_the_foreground(slices, bundle, tmp_path) -> None:
    score_into(bundle, slices.source, tmp_path / "readings", where=("split=test",), maps=True, workers=0)
    evaluation = evaluate(tmp_path / "readings" / "readings.csv", slices, bootstrap=20, workers=0)
    assert evaluation.pixels is not None
    assert evaluation.pixels.metrics is not None
    assert evaluation.pixels.metrics.average_precision > 0.9
    readings = Readings.read(tmp_path / "readings" / "readings.csv")
    outside = ~BODY.copy()
    outside[5], outside[19], outside[:, 4], outside[:, 15] = True, True, True, True
    lowest = np.float32(bundle.calibration.processing.lowest["intensity"])
    for row in readings.rows:
        heat = read_image(tmp_path / "readings" / row.map).pixels[0]
        np.testing.assert_array_equal(heat[outside], lowest)
        assert (heat[~outside] > lowest).mean() > 0.9


def test_what_lies_outside_has_no_say_in_any_score(slices, bundle, tmp_path) -> None:
    reference = slices.reference(slices.where("split=test").rows[0])
    path, _, body = reference.partition("|")
    values = np.asarray(Picture.open(path)).copy()
    values[~BODY] = 77
    Picture.fromarray(values).save(tmp_path / "other.png")
    pair = [read_image(reference), read_image(f"{tmp_path / 'other.png'}|{body}")]
    found = bundle.judge_images(pair, maps=True)
    assert found.scores[0] == found.scores[1]
    for scores in found.baselines.values():
        assert scores[0] == scores[1]
    np.testing.assert_array_equal(found.maps[0], found.maps[1])


def test_rows_without_a_mask_are_refused_before_one_is_read(slices, tmp_path) -> None:
    single = tuple(replace(row, path=row.path.partition("|")[0]) for row in slices.rows)
    with pytest.raises(UserError, match="of 1 and a mask of the foreground; name 2 files in each path"):
        fit(recipe_of(), replace(slices, rows=single, base=tmp_path), tmp_path / "bundle", progress=False)


def test_a_threshold_makes_maps_count_in_the_foreground_alone(slices, tmp_path) -> None:
    single = tuple(replace(row, path=row.path.partition("|")[0]) for row in slices.rows)
    how = recipe_of(foreground={"above": 0.1, "largest": True, "filled": True})
    bundle = fit(how, replace(slices, rows=single), tmp_path / "bundle", workers=0, progress=False)
    lesion, normal = (read_image(slices.reference(single[row])) for row in (-1, 0))
    assert bundle.preprocessing.apply(lesion).valid.sum() == BODY.sum()
    scores = bundle.judge_images([lesion, normal]).scores
    assert 250 / 255 > scores[0] > scores[1]
