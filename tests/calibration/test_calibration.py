import json
import math

import numpy as np
import pytest
from made_normals import BOTH, MAPS, Mixed, fitted, normals
from pydantic import ValidationError

from secondread.calibration.calibration import Calibration
from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.calibration.description import describe
from secondread.calibration.gathered_scores import GatheredScores
from secondread.calibration.raw_scores import RawScores, concatenate
from secondread.calibration.studies import study_scores
from secondread.errors import UserError


def test_two_tailed_parts_are_folded_at_the_median_of_validation_normals():
    calibration = fitted(mixture=Mixed({"likelihood": 1.0}))
    raw = normals(2, 3)
    median = np.median(normals(0, 80).parts["likelihood"])
    low = RawScores({**raw.parts, "likelihood": np.array([median - 20, median, median + 20])}, raw.tails)
    scores = calibration.combine(low)
    assert scores[0] == pytest.approx(scores[2])
    assert scores[0] > scores[1]


def test_scaled_parts_are_standardised_on_validation_normals_and_added_by_weight():
    calibration = fitted(mixture=Mixed({"residual": 3.0, "size": 1.0}))
    validation, raw = normals(0, 80), normals(5, 4)
    expected = sum(
        weight * (raw.parts[name] - validation.parts[name].mean()) / validation.parts[name].std()
        for name, weight in (("residual", 3.0), ("size", 1.0))
    )
    np.testing.assert_allclose(calibration.combine(raw), expected, rtol=1e-12)


def test_unscaled_parts_are_added_as_they_are():
    raw = normals(5, 4)
    calibration = fitted(mixture=Mixed({"residual": 3.0, "size": 1.0}, scaled=False))
    np.testing.assert_allclose(
        calibration.combine(raw), 3 * raw.parts["residual"] + raw.parts["size"], rtol=1e-12
    )


def test_weights_of_the_recipe_replace_the_detectors():
    calibration = fitted(settings=CalibrationSettings(part_weights={"size": 2.0}))
    assert {name: scale.weight for name, scale in calibration.mixture.parts.items() if scale.weight} == {
        "size": 2.0
    }
    with pytest.raises(
        UserError, match="mixes the part 'absent', and the detector gives complexity, likelihood"
    ):
        fitted(settings=CalibrationSettings(part_weights={"absent": 1.0}))


def test_a_two_tailed_part_that_is_not_mixed_keeps_what_it_is_measured_from():
    alone = fitted(settings=CalibrationSettings(part_weights={"size": 2.0}))
    beside = alone.mixture.parts["likelihood"]
    assert (beside.weight, beside.tail) == (0.0, "two")
    assert np.isfinite(beside.median)


def test_an_images_score_does_not_depend_on_its_batch():
    calibration, raw = fitted(settings=CalibrationSettings(complexity="residual")), normals(3, 20)
    together = calibration.combine(raw)
    alone = np.concatenate([calibration.combine(raw.select([i])) for i in range(20)])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(calibration.combine(raw.select(np.arange(20)[::-1])), together[::-1])
    np.testing.assert_array_equal(
        concatenate([raw.select([0, 1]), raw.select([2])]).parts["size"], raw.parts["size"][:3]
    )


def test_a_part_without_spread_stays_finite_and_is_named():
    validation, held_out = normals(0, 30), normals(1, 30)
    flat = {"residual": np.full(30, 0.3)}
    validation = RawScores({**validation.parts, **flat}, validation.tails)
    calibration = Calibration.fit(validation, held_out, mixture=Mixed({"residual": 1.0, "size": 1.0}))
    assert np.isfinite(calibration.combine(held_out)).all()
    described = describe(calibration)
    assert not described["parts"]["residual"]["varies_among_normals"]
    assert any("do not vary" in words and "residual" in words for words in described["words"])
    single = Calibration.fit(validation.select([0]), held_out, mixture=BOTH)
    assert np.isfinite(single.combine(held_out)).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_never_enters(wrong):
    raw = normals(4, 5)
    broken = RawScores({**raw.parts, "residual": np.array([0, 0, 0, wrong, 0.0])}, raw.tails)
    assert broken.finite.tolist() == [True, True, True, False, True]
    with pytest.raises(ValueError, match="part 'residual' of image 3 is"):
        fitted().combine(broken)
    with pytest.raises(ValueError, match="part 'residual' of validation image 3 is"):
        Calibration.fit(broken, raw, mixture=BOTH)
    with pytest.raises(ValueError, match="part 'residual' of image 3 is"):
        Calibration.fit(raw, broken, mixture=BOTH)
    with pytest.raises(ValueError, match="image 1 is"):
        fitted().flag([0.0, wrong])
    fitted().combine(broken.select(broken.finite))


def test_flags_are_p_values_at_or_below_the_rate():
    calibration = fitted(settings=CalibrationSettings(false_alarm_rate=0.1))
    scores = calibration.combine(normals(6, 500))
    np.testing.assert_array_equal(calibration.flag(scores), calibration.p_values(scores) <= 0.1)
    abnormal = calibration.combine(normals(7, 500, shift=40))
    assert calibration.flag(abnormal).mean() > 0.95


def test_the_promised_rate_holds_end_to_end():
    alarms = []
    for seed in range(300):
        calibration = Calibration.fit(
            normals(3 * seed, 40),
            normals(3 * seed + 1, 39),
            mixture=BOTH,
            calibration_patients=list(range(39)),
        )
        alarms.append(calibration.flag(calibration.combine(normals(3 * seed + 2, 100))).mean())
    assert 0.035 < np.mean(alarms) <= 0.05 + 4 * np.std(alarms) / np.sqrt(300)


def test_too_few_normals_are_said_and_flag_nothing():
    calibration = Calibration.fit(normals(0, 20), normals(1, 18), mixture=BOTH)
    assert calibration.threshold == math.inf
    assert not calibration.flag([1e300]).any()
    described = describe(calibration)
    assert described["threshold"] is None
    assert described["images"]["patients_needed"] == 19
    assert not described["images"]["enough"]
    assert "needs at least 19" in described["words"][0]
    json.dumps(described, allow_nan=False)


def test_missing_patient_ids_are_said():
    assert describe(fitted())["patient_ids"] == "all"
    assert describe(fitted(calibration_patients=None))["patient_ids"] == "none"
    some = describe(fitted(calibration_patients=[None, "", *"ab" * 29]))
    assert some["patient_ids"] == "some"
    assert some["images_without_patient_id"] == 2
    assert some["images"]["patients"] == 4


def test_a_study_scores_as_its_highest_image():
    found = study_scores([1.0, 5, 2, 7, 3], ["x", "x", None, "y", None], ["p", "p", "p", "q", "q"])
    assert found.scores.tolist() == [5, 2, 7, 3]
    assert found.studies == ["x", None, "y", None]
    assert found.images.tolist() == [2, 1, 1, 1]
    assert found.highest.tolist() == [1, 2, 3, 4]
    apart = study_scores([1.0, 5], ["1", "1"], ["p", "q"])
    assert apart.scores.tolist() == [1, 5]


def test_study_thresholds_keep_their_own_promise():
    random = np.random.default_rng(0)
    alarms, by_image = [], []
    for seed in range(200):
        calibration = Calibration.fit(
            normals(seed, 30),
            normals(1000 + seed, 39 * 5),
            mixture=BOTH,
            settings=CalibrationSettings(false_alarm_rate=0.1),
            calibration_patients=list(np.repeat(np.arange(39), 5)),
            calibration_studies=[f"s{i}" for i in np.repeat(np.arange(39), 5)],
        )
        new = calibration.combine(normals(int(random.integers(10**6, 10**7)), 200))
        grouped = study_scores(new, [f"n{i // 5}" for i in range(200)])
        alarms.append(calibration.flag_studies(grouped.scores).mean())
        by_image.append((grouped.scores >= calibration.threshold).mean())
        np.testing.assert_array_equal(
            calibration.flag_studies(grouped.scores), calibration.study_p_values(grouped.scores) <= 0.1
        )
    assert np.mean(alarms) <= 0.1 + 4 * np.std(alarms) / np.sqrt(200)
    assert np.mean(alarms) > 0.07
    assert np.mean(by_image) > 0.3
    assert fitted().study_threshold is None
    with pytest.raises(ValueError, match="no study ids"):
        fitted().study_p_values([1.0])


def test_complexity_residual_takes_complexity_out_and_keeps_the_plain_score():
    random = np.random.default_rng(0)

    def smooth_is_normal(n, shift=0.0):
        bits = random.uniform(2, 6, n)
        return RawScores(
            {"nll": 3 * bits + random.normal(size=n) + shift, "complexity": bits},
            {"nll": "upper", "complexity": "upper"},
        )

    calibration = Calibration.fit(
        smooth_is_normal(300),
        smooth_is_normal(200),
        mixture=Mixed({"nll": 1.0}),
        settings=CalibrationSettings(complexity="residual"),
    )
    new = smooth_is_normal(400)
    assert abs(np.corrcoef(calibration.combine(new), new.parts["complexity"])[0, 1]) < 0.15
    assert np.corrcoef(calibration.combine_without_complexity(new), new.parts["complexity"])[0, 1] > 0.9
    with pytest.raises(ValueError, match="lack the part 'complexity'"):
        calibration.combine(RawScores({"nll": np.zeros(2)}, {"nll": "upper"}))


@pytest.mark.parametrize(("unit", "factor"), [("nats", 1 / math.log(2)), ("bits", 1.0)])
def test_complexity_difference_is_serras_score_in_bits(unit, factor):
    chosen = CalibrationSettings(complexity="difference", complexity_part="likelihood", complexity_unit=unit)
    calibration = fitted(mixture=Mixed({"likelihood": 1.0}, scaled=False), settings=chosen)
    raw = normals(3, 6)
    np.testing.assert_allclose(
        calibration.combine(raw), raw.parts["likelihood"] * factor - raw.parts["complexity"], rtol=1e-12
    )
    assert not np.allclose(calibration.combine_without_complexity(raw), calibration.combine(raw))
    with pytest.raises(UserError, match="not among the mixed parts"):
        fitted(mixture=Mixed({"size": 1.0}), settings=chosen)


def test_settings_that_do_not_fit_together_are_refused():
    for wrong in (
        {"complexity": "difference"},
        {"complexity_part": "likelihood"},
        {"false_alarm_rate": 0.0},
        {"map_low_quantile": 0.99, "map_quantile": 0.9},
        {"part_weights": {"a": 0.0}},
        {"unknown": 1},
    ):
        with pytest.raises(ValidationError):
            CalibrationSettings(**wrong)


def test_another_site_keeps_the_score_and_gets_its_own_thresholds():
    calibration = Calibration.fit(
        normals(0, 60, maps=True), normals(1, 60, maps=True), mixture=BOTH, map_mixture=MAPS
    )
    site = normals(2, 99, maps=True, shift=20)
    moved = calibration.recalibrate(site, patients=list(range(99)), false_alarm_rate=0.1)
    raw = normals(3, 1000, shift=20)
    np.testing.assert_array_equal(moved.combine(raw), calibration.combine(raw))
    assert moved.map_scale == calibration.map_scale
    assert moved.map_threshold is not None
    assert calibration.flag(calibration.combine(raw)).mean() > 0.5
    assert moved.flag(moved.combine(raw)).mean() == pytest.approx(0.1, abs=0.08)
    assert moved.settings.false_alarm_rate == 0.1
    assert describe(moved)["recalibrated"]
    assert calibration.recalibrate(normals(2, 40)).map_threshold is None


def test_no_validation_normal_is_refused_and_no_calibration_normal_flags_nothing():
    with pytest.raises(UserError, match="no validation normal"):
        Calibration.fit(normals(0, 0), normals(1, 5), mixture=BOTH)
    with pytest.raises(UserError, match="no validation normal"):
        Calibration.fit(GatheredScores(), normals(1, 5), mixture=BOTH)
    calibration = Calibration.fit(normals(0, 9), GatheredScores(), mixture=BOTH)
    assert calibration.threshold == math.inf
    assert not calibration.decides
    assert "No normal has calibrated this" in describe(calibration)["words"][0]


def test_a_calibration_of_unlabelled_images_says_so_until_normals_come():
    ranks = Calibration.fit(normals(0, 9), GatheredScores(), mixture=BOTH, of_unlabelled=True)
    document, arrays = ranks.state()
    again = Calibration.from_state(document, arrays)
    assert again.of_unlabelled
    assert not again.decides
    assert describe(again)["of_unlabelled"]
    judged = again.recalibrate(normals(2, 40))
    assert judged.decides
    assert math.isfinite(judged.threshold)
    assert judged.mixture == ranks.mixture


def test_raw_scores_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="tails"):
        RawScores({"a": np.zeros(2)}, {})
    with pytest.raises(ValueError, match="one length"):
        RawScores({"a": np.zeros(2), "b": np.zeros(3)}, {"a": "upper", "b": "upper"})
    with pytest.raises(ValueError, match="map 'm'"):
        RawScores({"a": np.zeros(2)}, {"a": "upper"}, {"m": np.zeros((3, 4, 4), np.float32)})
