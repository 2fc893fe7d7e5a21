import json

import numpy as np
import pytest
import torch
from small_detectors import Autoencoder, AutoencoderSettings, build
from test_loop import Killed, fit, kill_at, same, without_times

from pairs import each_pair
from secondread.anomalies.kinds.fpi import ForeignPatches, ForeignPatchSettings
from secondread.calibration.part_mixture import PartMixture
from secondread.calibration.raw_scores import concatenate
from secondread.detectors.contract import Batch, Mixture, Part, Scores, ScoringNoise
from secondread.detectors.detector_settings import (
    EarlyStopSettings,
    MeasureSettings,
    OptimiserSettings,
    StageSettings,
)
from secondread.errors import UserError
from secondread.metrics.roc import auroc
from secondread.scoring.image_source import ArraySource
from secondread.scoring.scorer import Scorer
from secondread.training.choosing.label_free import corrected
from secondread.training.log import TrainingLog
from secondread.training.seeds import seeded_generator

BUSY = AutoencoderSettings(dropout=0.2, noise=0.1)
RULES = ("synthetic", "unlabelled")


class Folded(Autoencoder):
    """Two parts, one of them two-tailed, standardised before they are mixed."""

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        parts = dict(super().score(batch, noise, maps=False).parts)
        parts["brightness"] = Part(batch.images.flatten(1).mean(1), "two")
        return Scores(parts)

    def mixture(self) -> Mixture:
        return Mixture({"residual": 1.0, "brightness": 0.5, "jitter": 0.1})


@pytest.fixture
def images(cohorts):
    """Normals, held-out normals, and unlabelled images of which half are much larger in value."""
    sources = cohorts(normal=12, validation=9)
    rng = np.random.default_rng(1)
    unlabelled = rng.normal(size=(10, 1, 8, 8))
    unlabelled[::2] *= 1.3
    return {**sources, "unlabelled": ArraySource(unlabelled)}


def stage(**settings) -> StageSettings:
    given = {"epochs": 6, "batch_size": 4, "optimiser": OptimiserSettings(lr=0.02), **settings}
    return StageSettings(**given)


def scored(detector, source) -> object:
    return concatenate(list(Scorer(detector, precision="float32").set(source, maps=False)))


@pytest.mark.parametrize("kind", [Autoencoder, Folded])
def test_the_last_epochs_aucp_is_that_of_the_fitted_detectors_scores(images, tmp_path, kind):
    detector = build(BUSY, kind=kind)
    log = fit(detector, images, stage(watch=RULES), tmp_path).stages[1]
    normal, unlabelled = (scored(detector, images[name]) for name in ("validation", "unlabelled"))
    own = detector.mixture()
    mixture = PartMixture.fit(normal, own.weights, scaled=own.scaled)
    scores = np.concatenate([mixture.combine(normal), mixture.combine(unlabelled)])
    assert log.epochs[-1].measured["unlabelled"] == pytest.approx(auroc([0] * 9 + [1] * 10, scores))


def test_the_synthetic_auroc_is_that_of_the_same_normals_with_a_patch_of_another(images, tmp_path):
    detector, normals = build(BUSY), images["validation"]
    log = fit(detector, images, stage(watch=("synthetic",), batch_size=16), tmp_path).stages[1]
    patches = ForeignPatches(ForeignPatchSettings(share=1.0))
    made = patches(torch.from_numpy(normals.images), seeded_generator(3, "train", "anomalies", 0))
    assert bool(made.changed.all())
    changed = Scorer(detector, precision="float32").batch(made.images.numpy(), None, normals.digests)
    scores = np.concatenate([scored(detector, normals).parts["residual"], changed.parts["residual"]])
    assert log.epochs[-1].measured["synthetic"] == pytest.approx(auroc([0] * 9 + [1] * 9, scores))


def test_anomalies_of_another_kind_can_be_had(images, tmp_path):
    blobs = {"anomalies": {"name": "blobs", "contrast": [2, 3]}}
    kinds = [MeasureSettings(), MeasureSettings(**blobs)]
    found = [
        fit(build(BUSY), images, stage(watch=("synthetic",), measure=kind), tmp_path / str(number)).stages[1]
        for number, kind in enumerate(kinds)
    ]
    assert found[0].epochs[-1].measured != found[1].epochs[-1].measured


@pytest.mark.parametrize("rule", RULES)
def test_the_epoch_with_the_highest_value_stays(images, tmp_path, rule):
    keep = stage(epochs=8, keep=rule)
    log = fit(build(BUSY), images, keep, tmp_path / "all").stages[1]
    values = [epoch.measured[rule] for epoch in log.epochs]
    assert log.chosen_epoch == int(np.argmax(values))
    assert "highest AUROC" in log.rule
    chosen, last = build(BUSY), build(BUSY)
    fit(chosen, images, keep, tmp_path / "chosen")
    fit(last, images, stage(epochs=log.chosen_epoch + 1), tmp_path / "last")
    assert same(chosen, last)


def test_watching_changes_nothing_in_the_fit(images, tmp_path):
    watched, plain = build(BUSY), build(BUSY)
    log = fit(watched, images, stage(watch=RULES), tmp_path / "watched").stages[1]
    fit(plain, images, stage(), tmp_path / "plain")
    assert same(watched, plain)
    assert log.rule == "last epoch"
    assert all(set(epoch.measured) == set(RULES) for epoch in log.epochs)


@pytest.fixture(scope="module")
def uninterrupted():
    """What a fit came to that nobody killed, by its rule."""
    return {}


@each_pair(
    seconds=[0.0, 1e9], after=[1, 4, 6, 10], rule=RULES
)  # at every round, or at the end of stages only
def test_a_killed_fit_resumes_to_the_same_choice_and_curve(
    images, uninterrupted, tmp_path, rule, after, seconds
):
    settings = stage(
        epochs=5, keep=rule, watch=RULES, moving_average=0.7, early_stop=EarlyStopSettings(patience=3)
    )
    if rule not in uninterrupted:
        detector = build(BUSY)
        uninterrupted[rule] = detector, fit(detector, images, settings, tmp_path / "whole")
    whole, expected = uninterrupted[rule]
    resumed = build(BUSY)
    with pytest.raises(Killed):
        fit(
            build(BUSY), images, settings, tmp_path / "cut",
            checkpoint_seconds=seconds, after_round=kill_at(after),
        )  # fmt: skip
    log = fit(resumed, images, settings, tmp_path / "cut", resume=True)
    assert same(whole, resumed)
    assert without_times(log) == without_times(expected)


def test_epochs_between_measurements_are_not_measured_and_the_last_one_is(images, tmp_path):
    rarely = stage(epochs=7, watch=("unlabelled",), measure=MeasureSettings(every=3))
    log = fit(build(BUSY), images, rarely, tmp_path).stages[1]
    assert [bool(epoch.measured) for epoch in log.epochs] == [False, False, True, False, False, True, True]
    early = rarely.model_copy(update={"early_stop": EarlyStopSettings(patience=1, min_delta=1e9)})
    log = fit(build(BUSY), images, early, tmp_path / "early").stages[1]
    assert [bool(epoch.measured) for epoch in log.epochs] == [False, True]


def test_only_so_many_images_are_scored(images, tmp_path):
    detector = build(BUSY)
    seen = []
    score = detector.score
    detector.score = lambda batch, noise, *, maps: (seen.append(len(batch)), score(batch, noise, maps=maps))[
        1
    ]
    fit(detector, images, stage(epochs=2, watch=RULES, measure=MeasureSettings(images=5)), tmp_path)
    assert sum(seen) == 2 * 3 * 5


@pytest.mark.parametrize(("asked", "scored"), [(None, 32), (40, 40)])
def test_where_scoring_is_costly_few_images_are_scored_and_the_log_says_how_many(
    cohorts, tmp_path, asked, scored
):
    class Costly(Autoencoder):
        costly_scoring = True

    detector = build(AutoencoderSettings(), kind=Costly)
    seen = []
    score = detector.score
    detector.score = lambda batch, noise, *, maps: (seen.append(maps), score(batch, noise, maps=maps))[1]
    settings = stage(epochs=1, watch=("synthetic",), measure=MeasureSettings(images=asked))
    log = fit(detector, cohorts(normal=8, validation=50), settings, tmp_path).stages[-1]
    assert seen == [False] * 2 * scored
    assert [number for name, number in log.figures.items() if "scoring being costly" in name] == [scored]


def test_a_known_anomaly_rate_corrects_the_logged_value_and_not_the_choice(images, tmp_path):
    plain = fit(build(BUSY), images, stage(keep="unlabelled"), tmp_path / "a").stages[1]
    rate = stage(keep="unlabelled", measure=MeasureSettings(anomaly_rate=0.5))
    known = fit(build(BUSY), images, rate, tmp_path / "b").stages[1]
    assert plain.chosen_epoch == known.chosen_epoch
    assert "corrected" not in plain.epochs[0].measured
    for epoch in known.epochs:
        raw = epoch.measured["unlabelled"]
        assert epoch.measured["corrected"] == pytest.approx(np.clip((raw - 0.25) / 0.5, 0, 1))


def test_the_correction_undoes_the_normals_among_the_unlabelled():
    assert corrected(0.6 * 0.9 + 0.4 * 0.5, 0.6) == pytest.approx(0.9)
    assert corrected(0.7, 1.0) == pytest.approx(0.7)
    assert corrected(0.9, 0.5) == 1.0
    assert corrected(None, 0.5) is None


def test_a_stage_may_be_judged_by_a_score_of_its_own(images, tmp_path):
    class Early(Autoencoder):
        def stages(self):
            for one in super().stages():
                one.__dict__["score"] = lambda batch, noise: batch.images.flatten(1).std(1)
                yield one

        def score(self, batch, noise, *, maps):
            raise AssertionError("is not ready yet")

    log = fit(build(BUSY, kind=Early), images, stage(watch=("unlabelled",)), tmp_path).stages[1]
    deviations = [
        images[name].images.reshape(len(images[name]), -1).std(1, ddof=1)
        for name in ("validation", "unlabelled")
    ]
    expected = auroc([0] * 9 + [1] * 10, np.concatenate(deviations))
    assert log.epochs[0].measured["unlabelled"] == pytest.approx(expected)


def test_scores_that_are_not_finite_are_never_chosen_and_the_rule_says_so(images, tmp_path):
    class Broken(Autoencoder):
        def score(self, batch, noise, *, maps):
            return Scores({"residual": Part(torch.full((len(batch),), torch.nan))})

    log = fit(build(BUSY, kind=Broken), images, stage(keep="unlabelled"), tmp_path).stages[1]
    assert [epoch.measured["unlabelled"] for epoch in log.epochs] == [None] * 6
    assert log.chosen_epoch == 5
    assert log.rule.startswith("last epoch, as the highest AUROC of unlabelled images")


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_without_its_images_is_refused_before_training(images, tmp_path, rule):
    missing = {name: source for name, source in images.items() if name == "normal"}
    detector = build(BUSY)
    with pytest.raises(UserError, match=rf"stages\.train measures its epochs by held-out normals \({rule}\)"):
        fit(detector, missing, stage(keep=rule), tmp_path)
    assert detector.losses_taken == 0
    if rule == "unlabelled":
        del images["unlabelled"]
        with pytest.raises(UserError, match=r"by unlabelled images \(unlabelled\), and there are 0"):
            fit(detector, images, stage(watch=(rule,)), tmp_path)


def test_anomalies_that_do_not_exist_are_refused_with_what_there_is(images, tmp_path):
    wrong = stage(keep="synthetic", measure={"anomalies": {"name": "patches"}})
    with pytest.raises(
        UserError, match=r"stages\.train\.measure\.anomalies\.name is 'patches'; .*blobs, .*fpi"
    ):
        fit(build(BUSY), images, wrong, tmp_path)
    wrong = stage(keep="synthetic", measure={"anomalies": {"name": "fpi", "alfa": 1}})
    with pytest.raises(UserError, match="alfa is not a setting; did you mean alpha"):
        fit(build(BUSY), images, wrong, tmp_path)


def test_images_that_cannot_be_changed_give_no_value(images, tmp_path):
    black = {**images, "validation": ArraySource(np.zeros((4, 1, 8, 8)))}
    log = fit(build(BUSY), black, stage(watch=("synthetic",)), tmp_path).stages[1]
    assert log.epochs[0].measured == {"synthetic": None}


def test_volumes_and_batches_of_one_are_measured_too(cohorts, tmp_path):
    volumes = cohorts(size=(4, 8, 8))
    log = fit(build(BUSY, size=(4, 8, 8)), volumes, stage(epochs=1, batch_size=1, keep="synthetic"), tmp_path)
    assert 0 <= log.stages[1].epochs[0].measured["synthetic"] <= 1


def test_the_values_survive_json_and_logs_from_before_are_read(images, tmp_path):
    log = fit(build(BUSY), images, stage(watch=RULES), tmp_path)
    data = json.loads(json.dumps(log.to_json()))
    assert TrainingLog.from_json(data) == log
    for epoch in data["stages"][1]["epochs"]:
        del epoch["measured"]
    assert TrainingLog.from_json(data).stages[1].epochs[0].measured == {}


def test_each_epochs_line_shows_the_values(images, tmp_path, capsys):
    fit(build(BUSY), images, stage(epochs=1, watch=RULES), tmp_path, progress=True)
    assert "  synthetic 0." in capsys.readouterr().err
