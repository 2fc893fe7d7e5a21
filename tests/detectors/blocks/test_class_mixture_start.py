"""Where the mixture of normal and abnormal begins: means, covariance and rate, on known samples."""

import math

import pytest
import torch

from secondread.detectors.blocks.class_mixture import FLOOR, ClassMixture, MixtureSettings
from secondread.errors import UserError

BOTH = ("unlabelled", "abnormal")


def make(width=3, **changes):
    return ClassMixture(width, MixtureSettings(learns_from=BOTH).model_copy(update=changes))


def sample(k=64, rate=0.3, n_normal=800, n_unlabelled=600, n_abnormal=40, away=0.6, seed=0):
    """s of three cohorts, and mu_0, mu_1 and sigma; each coordinate's means are `away` sigma apart."""
    generator = torch.Generator().manual_seed(seed)
    mean = 3 * torch.randn(k, generator=generator)
    deviation = 0.5 + torch.rand(k, generator=generator)
    direction = torch.where(torch.rand(k, generator=generator) < 0.5, -1.0, 1.0)
    ill = mean + away * deviation * direction

    def draw(n, about):
        return about + deviation * torch.randn(n, k, generator=generator)

    many = round(rate * n_unlabelled)
    unlabelled = torch.cat((draw(many, ill), draw(n_unlabelled - many, mean)))
    unlabelled = unlabelled[torch.randperm(n_unlabelled, generator=generator)]
    cohorts = {"normal": draw(n_normal, mean), "unlabelled": unlabelled, "abnormal": draw(n_abnormal, ill)}
    return cohorts, mean, ill, deviation


def begun(cohorts, k=64, **changes):
    classes = make(k, learns_from=tuple(name for name in BOTH if name in cohorts), **changes)
    for name, s in cohorts.items():
        for part in s.split(100):
            classes.keep(name, part)
    classes.begin()
    return classes


def without(cohorts, name):
    return {other: s for other, s in cohorts.items() if other != name}


def test_the_start_finds_both_classes_from_unlabelled_or_labelled_images_and_best_from_both():
    cohorts, mean, ill, deviation = sample()
    error = {}
    for name, given in (
        ("unlabelled", without(cohorts, "abnormal")),
        ("labelled", without(cohorts, "unlabelled")),
        ("both", cohorts),
    ):
        mixture = begun(given, anomaly_rate=0.3).mixture
        found = (mixture.means.detach() - torch.stack((mean, ill))) / deviation
        assert float(found[0].square().mean().sqrt()) < 0.05
        error[name] = float(found[1].square().mean().sqrt())
        spread = mixture.log_deviation.detach().exp()[0]
        torch.testing.assert_close(spread, deviation + FLOOR * deviation.mean(), rtol=0.12, atol=0)
    assert max(error.values()) < 0.25
    assert error["both"] < 0.85 * min(error["unlabelled"], error["labelled"])


def test_the_start_is_the_precision_weighted_mean_shrunk_by_james_and_stein():
    cohorts, *_ = sample(k=8, n_normal=60, n_unlabelled=50, n_abnormal=7, rate=0.2)
    mixture = begun(cohorts, k=8, anomaly_rate=0.2).mixture
    s = {name: values.double() for name, values in cohorts.items()}
    mean, deviation = s["normal"].mean(dim=0), s["normal"].std(dim=0)
    deviation = deviation + FLOOR * deviation.mean()
    variance = torch.tensor(((1 / 50 + 1 / 60) / 0.2**2, 1 / 7 + 1 / 60)).double()
    of_unlabelled = (s["unlabelled"].mean(dim=0) - mean) / deviation / 0.2
    of_abnormal = (s["abnormal"].mean(dim=0) - mean) / deviation
    d = (of_unlabelled / variance[0] + of_abnormal / variance[1]) / (1 / variance).sum()
    h = 1 - (8 - 2) / (1 / variance).sum() / d.square().sum()
    assert 0.1 < h < 0.95
    torch.testing.assert_close(mixture.means[1].detach(), (mean + h * d * deviation).float())


def test_unlabelled_images_that_are_all_normal_leave_the_classes_close_together():
    for seed in range(3):
        cohorts, *_ = sample(rate=0.0, seed=seed)
        means = begun(without(cohorts, "abnormal"), anomaly_rate=0.3).mixture.means.detach()
        deviation = cohorts["normal"].std(dim=0)
        chance = math.sqrt(64 * (1 / 600 + 1 / 800)) / 0.3
        assert float(((means[1] - means[0]) / deviation).norm()) < 0.5 * chance


def test_one_coordinate_is_not_pulled_apart_by_the_shrinkage():
    for seed in range(5):
        cohorts, *_ = sample(k=1, rate=0.0, seed=seed)
        classes = begun(without(cohorts, "abnormal"), k=1, anomaly_rate=0.3)
        found = classes.mixture.means[1] - cohorts["normal"].mean(dim=0)
        expected = (cohorts["unlabelled"].mean(dim=0) - cohorts["normal"].mean(dim=0)) / 0.3
        torch.testing.assert_close(found.detach(), expected)


def test_the_rate_is_given_or_estimated_near_the_truth():
    cohorts, *_ = sample()
    given = begun(cohorts, anomaly_rate=0.12, prior_images=30.0)
    assert float(given.mixture.log_weights[1].detach().exp()) == pytest.approx(0.12)
    assert math.isnan(float(given.estimated_rate))
    torch.testing.assert_close(given.prior, 1 + 30 * torch.tensor((0.88, 0.12)))
    estimated = begun(cohorts)
    assert float(estimated.estimated_rate) == pytest.approx(0.3, abs=0.06)
    torch.testing.assert_close(estimated.mixture.log_weights[1].detach().exp(), estimated.estimated_rate)
    none = begun(sample(rate=0.0)[0])
    assert float(none.estimated_rate) < 0.05
    assert float(none.mixture.log_weights[1].detach().exp()) >= 0.0099


def test_labelled_images_alone_say_nothing_of_the_rate():
    classes = begun(without(sample()[0], "unlabelled"), anomaly_rate=0.1)
    assert classes.mixture.log_weights.exp().tolist() == [0.5, 0.5]
    assert "logits" not in dict(classes.mixture.named_parameters())
    assert classes.notes() == ()


@pytest.mark.parametrize("start", ["apart", "random"])
def test_fixed_starts_stay_where_they_are_and_take_the_rate_alone(start):
    classes = make(64, start=start, separation=2.0, anomaly_rate=0.3)
    before = classes.mixture.means.clone()
    for name, s in sample()[0].items():
        classes.keep(name, s)
    classes.begin()
    assert torch.equal(classes.mixture.means, before)
    assert (classes.mixture.log_deviation == 0).all()
    assert float(classes.mixture.log_weights[1].detach().exp()) == pytest.approx(0.3)
    distance = float((before[1] - before[0]).norm())
    assert distance == pytest.approx(2.0 if start == "apart" else 2 * math.sqrt(2 * 64), rel=0.2)


def test_a_cohort_of_fewer_than_two_images_is_refused():
    cohorts, *_ = sample(n_abnormal=1)
    with pytest.raises(UserError, match="at least two images of abnormal"):
        begun(cohorts)
    with pytest.raises(UserError, match="at least two images of the cohort normal"):
        make().begin()


def test_too_few_abnormal_images_are_told_where_nobody_labelled_any():
    assert make().notes() == ()
    all_normal, *_ = sample(rate=0.0)
    (note,) = begun(without(all_normal, "abnormal")).notes()
    assert "too few to learn from" in note
    (note,) = begun(all_normal).notes()
    assert "too few" not in note
    (note,) = begun(without(sample()[0], "abnormal")).notes()
    assert note.startswith("an estimated 3")
    assert "too few" not in note
    assert begun(all_normal, anomaly_rate=0.02).notes() == (
        "the anomaly rate was given; training ended at 2.0 %",
    )
