import numpy as np
import pytest
from made_readings import Made, make_readings
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from secondread.evaluation.evaluate import evaluate
from secondread.evaluation.evaluation import Evaluation


def judged(made: Made) -> Evaluation:
    return evaluate(made.write().csv, made.manifest, bootstrap=50, workers=0)


@pytest.fixture
def made(tmp_path):
    return make_readings(tmp_path, normal=30, abnormal=20)


def labels(made: Made) -> np.ndarray:
    return np.array([row["label"] == "abnormal" for row in made.rows])


def column(made: Made, name: str) -> np.ndarray:
    return np.array([float(reading[name]) for reading in made.readings])


def test_a_part_is_judged_by_itself(made):
    values = np.random.default_rng(0).normal(size=50) + labels(made)
    part = judged(made.give_part("posterior", values, weight=1.0)).metrics()["parts"]["posterior"]
    assert part["auroc"] == pytest.approx(roc_auc_score(labels(made), values))
    assert part["auroc_interval"][0] < part["auroc"] < part["auroc_interval"][1]
    assert (part["tail"], part["weight"]) == ("upper", 1.0)


def test_a_two_tailed_part_is_folded_about_the_median_that_calibration_kept(made):
    random = np.random.default_rng(0)
    values = random.normal(size=50) + labels(made) * random.choice([-9, 9], size=50)
    part = judged(made.give_part("likelihood", values, tail="two", weight=1.0)).metrics()["parts"][
        "likelihood"
    ]
    assert part["auroc"] == 1.0
    assert part["tail"] == "two"


def test_a_part_outside_the_score_says_so(made):
    part = judged(made.give_part("latent", np.arange(50))).metrics()["parts"]["latent"]
    assert part["weight"] is None
    assert part["auroc"] == part["average_precision"] == 1.0


def test_a_part_that_an_image_lacks_is_left_out(made):
    made.give_part("latent", np.arange(50)).readings[3]["part_latent"] = ""
    assert set(judged(made).metrics()["parts"]) == {"brightest"}


def test_without_abnormal_images_a_part_has_no_auroc(tmp_path):
    parts = judged(make_readings(tmp_path, normal=12, abnormal=0)).metrics()["parts"]
    assert parts["brightest"]["auroc"] is None
    assert parts["brightest"]["average_precision"] is None


def test_score_and_parts_are_held_against_the_background_among_normals(made):
    random = np.random.default_rng(0)
    share = random.uniform(0.2, 0.8, size=50)
    likelihood = random.normal(scale=0.1, size=50) - share - 5 * labels(made)
    made.give_part("likelihood", likelihood, weight=1.0).give_part("background", share)
    found = judged(made).metrics()["background"]
    normal = ~labels(made)
    assert set(found["parts"]) == {"brightest", "likelihood"}
    assert found["parts"]["likelihood"] == pytest.approx(
        spearmanr(likelihood[normal], share[normal]).statistic
    )
    assert found["score"] == pytest.approx(spearmanr(column(made, "score")[normal], share[normal]).statistic)


def test_a_detector_without_background_has_none(made):
    assert judged(made).metrics()["background"] is None


def test_a_constant_background_correlates_with_nothing(made):
    found = judged(made.give_part("background", np.full(50, 0.5)))
    assert found.metrics()["background"] == {"score": None, "parts": {"brightest": None}}
    assert found.background is not None
    assert "constant" in found.background.score.reason
