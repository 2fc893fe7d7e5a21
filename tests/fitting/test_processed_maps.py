"""Post-processing of maps from the recipe to readings, on phantoms with masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.errors import UserError
from secondread.evaluation.evaluate import evaluate
from secondread.fitting.calibrate import calibrate
from secondread.fitting.fit import fit
from secondread.postprocessing.masked_median import masked_median
from secondread.preprocessing.prepared_set import prepare_set
from secondread.readings.score_into import score_into
from secondread.recipes.recipe import Recipe

MAPS = {"median": 3, "erode": 2, "subtract_normal": True, "smallest": 4, "score": "top"}


def recipe_of(maps: dict, name: str = "intensity", **others) -> Recipe:
    return Recipe.from_mapping(
        {
            "preprocessing": {"size": [32, 32], "fit": "pad"},
            "detector": {"name": name},
            "cohorts": {"validation": 0.2, "calibration": 0.4},
            "maps": maps,
            **others,
        }
    )


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("films")
    return Manifest.read(make_phantoms(folder, seed=0, n_normal=36, n_abnormal=4, size=(40, 36)))


def fitted(recipe: Recipe, films: Manifest, folder: Path) -> Bundle:
    made = fit(
        recipe, films, folder / "bundle", cache=folder / "cache", workers=0, device="cpu", progress=False
    )
    assert made.path is not None
    return Bundle.load(made.path)


@pytest.fixture(scope="module")
def plain(films: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return fitted(recipe_of({}), films, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def bundle(films: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return fitted(recipe_of(MAPS), films, tmp_path_factory.mktemp("processed"))


def prepared(bundle: Bundle, films: Manifest, rows) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    images = prepare_set([films.reference(row) for row in rows], bundle.preprocessing, workers=0)
    return *images.batch(range(len(images))), images.digests


def test_a_judged_map_is_the_raw_one_after_all_steps(films, plain, bundle) -> None:
    pixels, valid, digests = prepared(bundle, films, films.where("split=test").rows)
    raw = plain.judge(pixels, valid, digests, maps=True)
    found = bundle.judge(pixels, valid, digests, maps=True)
    processing = bundle.calibration.processing
    assert processing is not None
    area = processing.area(valid)
    for heat, before, where in zip(found.maps, raw.maps, area, strict=True):
        lowest = np.float32(processing.lowest["intensity"])
        expected = np.maximum(before - processing.normal["intensity"], lowest)
        expected = masked_median(np.where(where, expected, lowest), where, 3)
        same = heat == expected
        small = heat[~same]
        assert (expected[~same] >= bundle.calibration.map_threshold).all()
        assert (small < bundle.calibration.map_threshold).all()


def test_the_image_score_stays_the_detectors_and_the_maps_part_is_beside_it(films, plain, bundle) -> None:
    pixels, valid, digests = prepared(bundle, films, films.where("split=test").rows)
    raw, found = (each.judge(pixels, valid, digests) for each in (plain, bundle))
    np.testing.assert_array_equal(raw.scores, found.scores)
    assert (bundle.parts, plain.parts) == (("intensity", "map"), ("intensity",))
    heat = bundle.scorer.batch(pixels, valid, digests, maps=True)
    np.testing.assert_array_equal(heat.parts["map"], found.parts["map"])


def test_the_map_threshold_keeps_its_promise_on_processed_maps(films, bundle) -> None:
    calibration = bundle.calibration
    assert calibration.processing is not None
    trained = films.where("split=train").rows
    pixels, valid, digests = prepared(bundle, films, trained)
    raw = bundle.scorer.batch(pixels, valid, digests)
    area = calibration.processing.area(valid)
    mixed = calibration.maps.combine(raw.maps)
    assert (mixed[area] >= calibration.map_threshold).mean() == pytest.approx(0.01, abs=0.01)
    assert (mixed[~area] < calibration.map_threshold).all()


def test_scored_and_evaluated_against_masks(films, bundle, tmp_path) -> None:
    score_into(bundle, films.source, tmp_path / "readings", where=("split=test",), maps=True, workers=0)
    evaluation = evaluate(tmp_path / "readings" / "readings.csv", films, bootstrap=20, workers=0)
    assert evaluation.pixels is not None
    assert evaluation.pixels.metrics is not None
    assert evaluation.pixels.metrics.average_precision > 0


def test_the_maps_part_may_be_the_score(films, tmp_path) -> None:
    recipe = recipe_of({"score": "max"}, calibration={"part_weights": {"map": 1.0}})
    bundle = fitted(recipe, films, tmp_path)
    pixels, valid, digests = prepared(bundle, films, films.where("split=test").rows)
    found = bundle.judge(pixels, valid, digests)
    np.testing.assert_array_equal(found.scores, found.parts["map"])


def test_calibrating_elsewhere_keeps_what_was_learnt_of_maps(films, bundle, tmp_path) -> None:
    there = Manifest.read(make_phantoms(tmp_path / "there", seed=1, n_normal=12, n_abnormal=0, size=(40, 36)))
    others = tuple(replace(row, patient_id=f"there-{row.patient_id}") for row in there.rows)
    moved = calibrate(bundle, replace(there, rows=others), tmp_path / "moved", workers=0, progress=False)
    again = Bundle.load(tmp_path / "moved").calibration
    assert again.map_scale == bundle.calibration.map_scale
    assert again.map_threshold == moved.calibration.map_threshold != bundle.calibration.map_threshold
    assert again.processing is not None
    np.testing.assert_array_equal(
        again.processing.normal["intensity"], bundle.calibration.processing.normal["intensity"]
    )


def test_a_bundle_from_before_scores_as_it_did(plain) -> None:
    document, arrays = plain.calibration.state()
    assert "processing" not in document
    assert plain.scorer.processing is None
    assert plain.calibration.from_state(document, arrays).processing is None


@pytest.mark.parametrize(
    ("recipe", "line"),
    [
        (recipe_of({"median": 3}, "spectrum"), "detector spectrum gives no map"),
        (recipe_of({"at_least": 2.0}), "leave no pixel of any validation normal"),
    ],
)
def test_settings_that_leave_no_map_are_refused_before_anything_is_learnt(recipe, line, films, tmp_path):
    with pytest.raises(UserError, match=line) as caught:
        fit(recipe, films, tmp_path / "bundle", workers=0, progress=False)
    assert "\n" not in str(caught.value)


def test_a_misspelt_step_is_one_line() -> None:
    with pytest.raises(UserError, match=r"maps\.medain is not a setting; did you mean median\?"):
        Recipe.load("padim", set=["maps.medain=5"])
    assert Recipe.load("padim", set=["maps.median=5"]).maps.median == 5


def test_a_changed_mean_map_is_refused(bundle) -> None:
    document, arrays = bundle.calibration.state()
    changed = {**arrays, "normal_map_intensity": arrays["normal_map_intensity"][:-1]}
    with pytest.raises(ValueError, match="of size"):
        bundle.calibration.from_state(document, changed).require_size((32, 32))
    without = {name: array for name, array in arrays.items() if name != "normal_map_intensity"}
    with pytest.raises(ValueError, match="has the arrays"):
        bundle.calibration.from_state(document, without)
    other = replace(bundle.calibration.processing, normal={})
    with pytest.raises(ValueError, match="mean maps"):
        other.require_size((32, 32))
