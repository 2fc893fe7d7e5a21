"""The loss of the mixture of normal and abnormal, term by term, and what it says of an image."""

import pytest
import torch
from pydantic import ValidationError
from torch.distributions import Beta, Independent, MixtureSameFamily, Normal
from torch.distributions import Categorical as Classes

from secondread.detectors.blocks.class_mixture import ClassMixture, Latents, MixtureSettings

BOTH = ("unlabelled", "abnormal")
RATE = 0.3


def make(width=3, pooled=True, **changes):
    return ClassMixture(width, MixtureSettings(learns_from=BOTH).model_copy(update=changes), pooled=pooled)


def uneven(**changes):
    """Means, deviations and weights that all differ, float64."""
    classes = make(**changes).double()
    mixture = classes.mixture
    with torch.no_grad():
        mixture.means.copy_(torch.randn(2, mixture.dimensions))
        mixture.log_deviation.copy_(0.3 * torch.randn(mixture.log_deviation.shape))
    mixture.set_weights((1 - RATE, RATE))
    return classes


def images(n, channels=3, base=20.0):
    return Latents(
        base * torch.randn(n).double(), torch.randn(n, channels).double(), torch.arange(n).double() + 50
    )


def components(classes):
    """By torch: N(mu_c, Sigma) of both classes, and N(0, I)."""
    means, deviation = classes.mixture.means.detach(), classes.mixture.log_deviation.detach().exp()
    standard = Independent(Normal(torch.zeros_like(means[0]), 1.0), 1)
    return Independent(Normal(means, deviation.expand_as(means)), 1), standard


def by_class(classes, s):
    """log N(s; mu_c, Sigma) - log N(s; 0, I), `[n, 2]`."""
    of_classes, standard = components(classes)
    return of_classes.log_prob(s[:, None]) - standard.log_prob(s)[:, None]


def mixture_of(classes):
    return MixtureSameFamily(Classes(torch.tensor((1 - RATE, RATE)).double()), components(classes)[0])


def close(found, expected):
    torch.testing.assert_close(found.detach(), expected.detach().to(found))


def test_each_cohort_is_weighed_by_the_density_of_its_own_classes():
    classes = uneven(unlabelled=0.7, labelled=0.4)
    cohorts = {"normal": images(4), "unlabelled": images(3), "abnormal": images(2)}
    found = classes.terms(cohorts)
    _, standard = components(classes)
    weight = {"normal": 1.0, "unlabelled": 0.7, "abnormal": 0.4}
    for name, latents in cohorts.items():
        of_s = {
            "normal": components(classes)[0].log_prob(latents.s[:, None])[:, 0],
            "abnormal": components(classes)[0].log_prob(latents.s[:, None])[:, 1],
            "unlabelled": mixture_of(classes).log_prob(latents.s),
        }[name]
        density = latents.base - standard.log_prob(latents.s) + of_s
        close(found[name], -weight[name] * (density / latents.dimensions).sum() / 9)


def test_normals_alone_have_the_loss_of_normals_alone():
    classes = uneven()
    latents = images(4)
    found = classes.terms({"normal": latents})
    assert set(found) == {"normal"}
    density = latents.base + by_class(classes, latents.s)[:, 0]
    close(found["normal"], -(density / latents.dimensions).mean())


def test_the_cross_entropy_is_that_of_two_classes_that_weigh_half_each():
    classes = uneven(cross_entropy=0.3)
    cohorts = {"normal": images(5), "abnormal": images(2)}
    told = {
        name: Classes(logits=by_class(classes, latents.s)).log_prob(torch.tensor(label)).mean()
        for label, (name, latents) in enumerate(cohorts.items())
    }
    close(classes.terms(cohorts)["cross_entropy"], -0.3 * (told["normal"] + told["abnormal"]) / 2)
    assert "cross_entropy" not in uneven(cross_entropy=0.0).terms(cohorts)
    assert "cross_entropy" not in classes.terms({"normal": cohorts["normal"], "unlabelled": images(2)})


@pytest.mark.parametrize("clamped", [False, True])
def test_the_risk_of_normal_against_unlabelled_is_never_negative(clamped):
    classes = uneven(positive_unlabelled=0.5)
    normal, unlabelled = images(6), images(4)
    towards = classes.mixture.means.detach()[1] - classes.mixture.means.detach()[0]
    unlabelled.s.copy_(normal.s[:4] + (20 if clamped else -1) * towards)
    priors = torch.tensor((1 - RATE, RATE)).double().log()

    def loss(latents, label):
        posterior = Classes(logits=by_class(classes, latents.s) + priors)
        return -posterior.log_prob(torch.tensor(label)).mean()

    as_abnormal = loss(unlabelled, 1) - (1 - RATE) * loss(normal, 1)
    assert (as_abnormal < 0) == clamped
    risk = (1 - RATE) * loss(normal, 0) + as_abnormal.clamp_min(0)
    found = classes.terms({"normal": normal, "unlabelled": unlabelled})
    close(found["positive_unlabelled"], 0.5 * risk)
    assert "positive_unlabelled" not in uneven().terms({"normal": normal, "unlabelled": unlabelled})


def test_an_image_agrees_with_the_likelier_class_of_its_other_view_more_by_each_epoch():
    classes = uneven(consistency=0.8, ramp=3)
    seen = images(5)
    other = torch.randn(5, 3).double().requires_grad_()
    posterior = Classes(torch.tensor((1 - RATE, RATE)).double().expand(5, 2)).logits
    posterior = posterior + by_class(classes, other.detach())
    likelier = posterior.argmax(dim=1)
    assert 0 < int(likelier.sum()) < 5
    chosen = by_class(classes, seen.s)[torch.arange(5), likelier]
    expected = -0.8 * ((seen.base + chosen) / seen.dimensions).sum() / 7
    cohorts = {"normal": images(2), "unlabelled": Latents(seen.base, seen.s, seen.dimensions, other)}
    for epoch, share in enumerate((1 / 3, 2 / 3, 1, 1)):
        found = classes.terms(cohorts)["consistency"]
        close(found, share * expected)
        classes.each_epoch(epoch, iter(()))
    found.backward()
    assert other.grad is None
    assert "consistency" not in classes.terms({**cohorts, "unlabelled": seen})
    assert "consistency" not in uneven(consistency=0.0).terms(cohorts)


def test_the_prior_of_the_rate_counts_once_over_all_unlabelled_images():
    classes = make(anomaly_rate=0.1, prior_images=40.0).double()
    for name, n in (("normal", 30), ("unlabelled", 200), ("abnormal", 5)):
        classes.keep(name, torch.randn(n, 3))
    classes.begin()
    cohorts = {"normal": images(2), "unlabelled": images(3)}
    prior = Beta(torch.tensor(1 + 40 * 0.1).double(), torch.tensor(1 + 40 * 0.9).double())
    told = []
    for rate in (0.05, 0.4):
        classes.mixture.set_weights((1 - rate, rate))
        told.append(classes.terms(cohorts)["rate"])
    expected = (prior.log_prob(torch.tensor(0.05)) - prior.log_prob(torch.tensor(0.4))).double()
    d = cohorts["unlabelled"].dimensions.mean()
    close(told[0] - told[1], -3 / 5 * expected / (200 * d))


@pytest.mark.parametrize(
    ("changes", "learned"),
    [
        ({}, {"means", "log_deviation", "logits"}),
        ({"learn": False}, {"logits"}),
        ({"start": "apart"}, {"logits"}),
        ({"start": "random", "learns_from": ("abnormal",)}, set()),
    ],
)
def test_training_moves_what_the_settings_say(changes, learned):
    assert set(dict(make(**changes).mixture.named_parameters())) == learned


def test_the_log_odds_are_those_of_bayes():
    classes = uneven()
    s = torch.randn(6, 3).double()
    of_classes, _ = components(classes)
    joint = of_classes.log_prob(s[:, None]) + torch.tensor((1 - RATE, RATE)).double().log()
    close(classes.log_odds(s), joint[:, 1] - joint[:, 0])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [(4, 5), (2, 3, 4)])
@pytest.mark.parametrize("changes", [{}, {"channels": 2}, {"start": "apart"}])
def test_the_map_shares_out_the_log_odds_over_the_positions_that_count(masked, size, changes):
    classes = make(3, anomaly_rate=0.1, **changes)
    with torch.no_grad():
        if "start" not in changes:
            classes.mixture.means.normal_()
            classes.mixture.log_deviation.normal_(std=0.3)
    classes.mixture.set_weights((1 - RATE, RATE))
    own = classes.log_odds(torch.ones(1, classes.mixture.dimensions))
    classes.line.copy_(torch.tensor((0.4, -3.0)))
    close(classes.log_odds(torch.ones(1, classes.mixture.dimensions)), 0.4 * own - 3.0)
    z = torch.randn(3, 3, *size)
    valid = (torch.rand(3, 1, *size) < 0.6) if masked else None
    found = classes.log_odds_map(z, valid).detach()
    assert found.shape == (3, 1, *size)
    close(found.flatten(1).sum(dim=1), classes.log_odds(classes.pool.pooled(z, valid)))
    assert found.std() > 0
    if valid is not None:
        assert (found[~valid] == 0).all()


def test_a_posterior_is_calibrated_where_that_is_asked_for_and_there_are_unlabelled_images():
    def stages(**changes):
        return [stage.name for stage in make(**changes).calibration(lambda batch: batch.images)]

    assert stages(calibrate=True) == ["posterior"]
    assert stages() == []
    assert stages(calibrate=True, learns_from=("abnormal",)) == []


def test_all_latent_variables_have_no_pooled_part():
    with pytest.raises(TypeError, match="all latent variables"):
        _ = make(pooled=False).pool


@pytest.mark.parametrize(
    "changes",
    [
        {"learns_from": ()},
        {"learns_from": ("unlabelled", "unlabelled")},
        {"learns_from": ("normal",)},
        {"anomaly_rate": 0.0},
        {"anomaly_rate": 1.0},
        {"ramp": 0},
        {"start": "means"},
    ],
)
def test_settings_that_say_nothing_are_refused(changes):
    with pytest.raises(ValidationError):
        MixtureSettings(**changes)


def test_more_channels_than_the_map_has_are_refused():
    with pytest.raises(ValueError, match="cannot come from 3"):
        make(3, channels=4)
