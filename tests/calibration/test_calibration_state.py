import json

import numpy as np
import pytest
from made_normals import BOTH, MAPS, fitted, normals

from secondread.calibration.calibration import Calibration
from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.calibration.conformal import tolerance
from secondread.calibration.description import describe
from secondread.calibration.gathered_scores import GatheredScores


def streamed(raw, batch, patients=None, studies=None):
    gathered = GatheredScores()
    for at in range(0, len(raw), batch):
        rows = slice(at, at + batch)
        gathered.add(
            raw.select(np.arange(len(raw))[rows]),
            patients=None if patients is None else patients[rows],
            studies=None if studies is None else studies[rows],
        )
    return gathered


def test_gathering_batches_equals_giving_all_at_once():
    validation, held_out, patients = normals(0, 30, maps=True), normals(1, 40, maps=True), list(range(20)) * 2
    studies = [f"s{i % 25}" for i in range(40)]
    options = {"mixture": BOTH, "map_mixture": MAPS}
    once = Calibration.fit(
        validation, held_out, calibration_patients=patients, calibration_studies=studies, **options
    )
    stream = Calibration.fit(streamed(validation, 7), streamed(held_out, 3, patients, studies), **options)
    assert json.dumps(once.state()[0]) == json.dumps(stream.state()[0])
    for name, values in once.state()[1].items():
        np.testing.assert_array_equal(values, stream.state()[1][name])


def test_maps_are_standardised_and_share_one_scale_and_threshold():
    validation, held_out = normals(0, 60, maps=True), normals(1, 60, maps=True)
    calibration = Calibration.fit(validation, held_out, mixture=BOTH, map_mixture=MAPS)
    pixels = calibration.combine_maps(validation)
    assert pixels.dtype == np.float32
    assert pixels.shape == (60, 12, 12)
    low, high = calibration.map_scale
    assert (pixels > high).mean() == pytest.approx(0.005, abs=5e-4)
    assert (pixels > low).mean() == pytest.approx(0.5, abs=5e-3)
    assert (calibration.combine_maps(held_out) >= calibration.map_threshold).mean() == pytest.approx(
        0.01, abs=5e-4
    )
    alone = calibration.combine_maps(held_out.select([5]))
    np.testing.assert_array_equal(alone[0], calibration.combine_maps(held_out)[5])
    with pytest.raises(ValueError, match="no maps"):
        fitted().combine_maps(held_out)
    assert fitted().map_scale is None


def test_a_state_of_before_ties_had_a_tolerance_gets_that_of_its_scores():
    studies = [f"s{i // 2}" for i in range(41)]
    calibration = Calibration.fit(normals(0, 30), normals(1, 41), mixture=BOTH, calibration_studies=studies)
    document, arrays = calibration.state()
    assert document["tolerance"] == calibration.images.tolerance
    older = {name: value for name, value in document.items() if name != "tolerance"}
    again = Calibration.from_state(older, arrays)
    assert again.images.tolerance == tolerance(arrays["image_scores"])
    assert again.images.tolerance == pytest.approx(calibration.images.tolerance, rel=0.2)
    assert calibration.studies is not None
    assert again.studies is not None
    assert again.studies.tolerance == again.images.tolerance
    assert calibration.studies.tolerance == calibration.images.tolerance
    with pytest.raises(ValueError, match="tolerance"):
        Calibration.from_state({**document, "tolerance": -1.0}, arrays)


def test_state_survives_json_and_npz_exactly(tmp_path):
    validation, held_out = normals(0, 30, maps=True), normals(1, 41, maps=True)
    for chosen in (
        CalibrationSettings(),
        CalibrationSettings(complexity="residual", part_weights={"likelihood": 1 / 3, "size": 0.1}),
        CalibrationSettings(complexity="difference", complexity_part="likelihood"),
    ):
        calibration = Calibration.fit(
            validation,
            held_out,
            mixture=BOTH,
            map_mixture=MAPS,
            settings=chosen,
            calibration_patients=[f"p{i // 3}" for i in range(41)],
            calibration_studies=[f"s{i // 2}" for i in range(41)],
        )
        document, arrays = calibration.state()
        np.savez(tmp_path / "arrays.npz", **arrays)
        with np.load(tmp_path / "arrays.npz") as stored:
            again = Calibration.from_state(json.loads(json.dumps(document, allow_nan=False)), dict(stored))
        raw = normals(9, 25, maps=True)
        np.testing.assert_array_equal(again.combine(raw), calibration.combine(raw))
        np.testing.assert_array_equal(again.combine_maps(raw), calibration.combine_maps(raw))
        scores = calibration.combine(raw)
        np.testing.assert_array_equal(again.p_values(scores), calibration.p_values(scores))
        np.testing.assert_array_equal(again.study_p_values(scores), calibration.study_p_values(scores))
        assert describe(again) == describe(calibration)
        assert again.state()[0] == document
    assert "p1" not in json.dumps(document)


def test_a_damaged_state_is_refused():
    document, arrays = fitted().state()
    with pytest.raises(ValueError, match="format 7"):
        Calibration.from_state({**document, "format": 7}, arrays)
    with pytest.raises(ValueError, match="ascend"):
        Calibration.from_state(document, {**arrays, "image_scores": arrays["image_scores"][::-1]})
    with pytest.raises(ValueError, match="add up"):
        Calibration.from_state({**document, "patients": 3}, arrays)
