import math

import pytest
import torch
from in_memory import blobs, fit, score, train_on
from pydantic import ValidationError
from torch import nn
from torch.distributions import Normal
from torch.nn.functional import softplus

from secondread.detectors.blocks.class_mixture import Latents
from secondread.detectors.contract import Batch, ScoringNoise
from secondread.detectors.detector_settings import OptimiserSettings, StageSettings
from secondread.detectors.flows.aeflow_gmm import AEFlowGMM, AEFlowGMMSettings
from secondread.metrics.roc import auroc

BOTH = ("unlabelled", "abnormal")
SIZE = (32, 32)
RESNET = {"encoder": {"name": "resnet18", "weights": "random"}, "decoder": {"hidden": (32, 16, 8)}}
"""Whose map of 32×32 images is 2×2."""


def tiny(rank=2, mixture=None, **changes):
    form = AEFlowGMM.tiny(rank)
    given = {**form.settings.model_dump(), **changes}
    given["mixture"] = {**given["mixture"], **(mixture or {})}
    return AEFlowGMM(AEFlowGMMSettings.model_validate(given), form.channels, form.size)


class Shows(nn.Module):
    """A decoder that shows clearly what z' is."""

    def forward(self, z):
        return nn.functional.interpolate(z.mean(dim=1, keepdim=True).tanh(), SIZE)


def fitted(rank=2, **changes):
    detector = tiny(rank, **changes)
    size = detector.size
    others = {"unlabelled": blobs(16, size, seed=1, lesion=True), "abnormal": blobs(16, size, lesion=True)}
    fit(detector, blobs(16, size), steps=3, **others)
    return detector


@torch.no_grad()
def latents_of(detector, images):
    """log p(x) with a standard normal latent, nats, and s."""
    h = detector.normalisation(detector.encode(images)[0])
    z, _ = detector.flow.transform(h)
    return detector.flow.log_density(h), detector.classes.pool.pooled(z), z


def log_normal(mixture, s):
    return Normal(mixture.means[0], mixture.log_deviation[0].exp()).log_prob(s).sum(dim=1)


def test_parts_are_the_densities_of_both_classes():
    detector = fitted().requires_grad_(False)
    images = blobs(5, SIZE, seed=3)
    parts = {name: part.values for name, part in score(detector, images).parts.items()}
    base, s, z = latents_of(detector, images)
    likelihood = base + log_normal(detector.classes.mixture, s) - Normal(0.0, 1.0).log_prob(s).sum(dim=1)
    torch.testing.assert_close(parts["likelihood"], -likelihood / z[0].numel())
    torch.testing.assert_close(parts["odds"], detector.classes.log_odds(s))
    torch.testing.assert_close(parts["posterior"], softplus(parts["odds"]))
    posterior = detector.classes.mixture.log_posterior(s)
    torch.testing.assert_close(parts["posterior"], -posterior[:, 0], atol=1e-5, rtol=1e-4)
    assert set(parts) == {"posterior", "odds", "likelihood", "reconstruction", "decoded"}


@pytest.mark.parametrize("rank", [2, 3])
def test_the_loss_is_that_of_the_mixture_and_of_the_normals_reconstruction(rank):
    detector = fitted(rank, alpha=0.3)
    size = detector.size
    unlabelled, again = Batch(blobs(4, size, seed=4)), Batch(blobs(4, size, seed=5))
    normal, abnormal = Batch(blobs(3, size)), Batch(blobs(2, size, lesion=True))
    found = {}
    for name, batch in (("normal", normal), ("unlabelled", unlabelled), ("abnormal", abnormal)):
        base, s, z = latents_of(detector, batch.images)
        other = latents_of(detector, again.images)[1] if name == "unlabelled" else None
        found[name] = Latents(base, s, torch.full((len(base),), float(z[0].numel())), other)
    expected = {name: 0.3 * value for name, value in detector.classes.terms(found).items()}
    target = 2 * normal.images - 1
    decoded = detector.decoder(latents_of(detector, normal.images)[2])
    expected["reconstruction"] = 0.7 * (decoded - target).square().mean()
    together = {
        "normal": normal,
        "unlabelled": Batch(unlabelled.images, others=(again,)),
        "abnormal": abnormal,
    }
    terms = detector.loss(together, torch.Generator())
    assert set(terms) == {
        "normal", "unlabelled", "abnormal", "rate", "consistency", "cross_entropy", "positive_unlabelled",
        "reconstruction",
    }  # fmt: skip
    for name, value in terms.items():
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-4)
    held_out = detector.normal_loss({**together, "validation": normal}, torch.Generator())
    assert set(held_out) == {"normal", "reconstruction"}


@pytest.mark.parametrize("unit", ["nats", "bits_per_dimension"])
def test_the_terms_of_likelihood_are_in_the_unit_that_is_asked_for_and_the_others_have_none(unit):
    batches = {
        "normal": Batch(blobs(3, SIZE)),
        "unlabelled": Batch(blobs(4, SIZE, seed=4), others=(Batch(blobs(4, SIZE, seed=5)),)),
        "abnormal": Batch(blobs(2, SIZE, lesion=True)),
    }
    plain, asked = fitted().eval(), tiny(flow_loss=unit).eval()
    asked.load_state_dict(plain.state_dict())
    terms = plain.loss(batches, torch.Generator())
    found = asked.loss(batches, torch.Generator())
    dimensions = latents_of(plain, batches["normal"].images)[2][0].numel()
    times = {"nats": dimensions, "bits_per_dimension": 1 / math.log(2)}[unit]
    for name in ("normal", "unlabelled", "abnormal", "rate", "consistency"):
        torch.testing.assert_close(found[name], times * terms[name], rtol=1e-4, atol=0)
    for name in ("cross_entropy", "positive_unlabelled", "reconstruction"):
        torch.testing.assert_close(found[name], terms[name])


def test_positions_that_padding_fills_do_not_count():
    detector = fitted(mixture={"start": "apart"}, **RESNET)
    images = blobs(3, SIZE, seed=3)
    valid = torch.ones(3, 1, *SIZE, dtype=torch.bool)
    whole = score(detector, images).parts
    for name, part in score(detector, images, valid).parts.items():
        torch.testing.assert_close(part.values, whole[name].values, atol=1e-5, rtol=1e-4)
    valid[..., 16:] = False
    half = score(detector, images, valid)
    _, _, z = latents_of(detector, images)
    s = z[..., :1].sum(dim=(2, 3)) / 2**0.5
    torch.testing.assert_close(half.parts["odds"].values, detector.classes.log_odds(s).detach())
    tilt = log_normal(detector.classes.mixture, s) - Normal(0.0, 1.0).log_prob(s).sum(dim=1)
    with torch.no_grad():
        _, _, nats = detector._flow(Batch(images))
    expected = (nats[..., :1].sum(dim=(1, 2, 3)) - tilt) / (2 * 16)
    torch.testing.assert_close(half.parts["likelihood"].values, expected.detach())
    assert (half.maps["posterior"][..., 24:] == 0).all()


def test_the_score_is_the_posterior_or_a_mixture_of_standardised_parts():
    alone = tiny(gamma=1.0).mixture()
    assert dict(alone.weights) == {"posterior": 1.0}
    assert not alone.scaled
    mixed = tiny(gamma=0.4, beta=0.9, scaled=False).mixture()
    assert mixed.scaled
    assert dict(mixed.weights) == {
        "odds": 0.4, "likelihood": pytest.approx(0.54), "reconstruction": pytest.approx(0.06),
    }  # fmt: skip


def test_the_map_is_of_the_odds_or_of_ae_flow():
    detector = tiny()
    assert dict(detector.map_mixture().weights) == {"posterior": 1.0}
    assert set(score(detector, blobs(2, SIZE)).maps) == {"posterior"}
    detector = tiny(posterior_map=False, map="both")
    assert set(detector.map_mixture().weights) == {"residual", "likelihood"}
    assert set(score(detector, blobs(2, SIZE)).maps) == {"residual", "likelihood"}


def test_decoded_is_the_residual_where_normal_images_are_as_this_one():
    detector = fitted(draws=3, nearest=2, extra_parts=("residual",))
    detector.decoder = Shows()
    images = blobs(2, SIZE, seed=3)
    with torch.no_grad():
        detector.classes.mixture.means[0] = latents_of(detector, images)[1][0]
        detector.classes.mixture.log_deviation.fill_(-12.0)
    parts = score(detector, images).parts
    gap = (parts["decoded"].values - parts["residual"].values).abs()
    assert float(gap[0]) < 1e-5 < 1e-3 < float(gap[1])


def test_decoded_is_the_distance_to_the_images_of_the_nearest_normal_draws():
    detector = fitted(draws=6, nearest=2)
    detector.decoder = Shows()
    mixture = detector.classes.mixture
    images = blobs(3, SIZE, seed=3)
    noise = ScoringNoise([torch.Generator().manual_seed(i) for i in range(3)]).normal((6, 16))
    _, s, z = latents_of(detector, images)
    with torch.no_grad():
        deviation = mixture.log_deviation.exp()[0]
        for n, found in enumerate(score(detector, images).parts["decoded"].values):
            drawn = mixture.means[0] + deviation * noise[n]
            order = ((drawn - s[n]) / deviation).norm(dim=1).argsort()[:2]
            as_normal = detector.classes.pool.replaced(z[n : n + 1].expand(2, -1, -1, -1), drawn[order])
            distance = (detector.decoder(as_normal) - (2 * images[n] - 1)).abs().mean() / 2
            torch.testing.assert_close(found, distance, atol=1e-5, rtol=1e-4)


def test_decoded_follows_the_images_own_noise_alone():
    detector = fitted()
    detector.decoder = Shows()
    images = blobs(3, SIZE, seed=3)

    @torch.no_grad()
    def decoded(rows, seeds):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return (
            detector.score(Batch(images[rows]), ScoringNoise(generators), maps=False).parts["decoded"].values
        )

    together = decoded([0, 1, 2], [7, 8, 9])
    assert torch.equal(together, decoded([0, 1, 2], [7, 8, 9]))
    torch.testing.assert_close(decoded([2, 0], [9, 7]), together[[2, 0]])
    assert not torch.allclose(decoded([0, 1, 2], [17, 18, 19]), together, atol=1e-3)


@pytest.mark.parametrize(
    "learns_from", [("unlabelled",), ("unlabelled", "abnormal"), ("abnormal",)], ids="-".join
)
def test_what_it_needs_is_what_it_learns_from(learns_from):
    detector = tiny(mixture={"learns_from": learns_from})
    assert detector.needs == {"normal", *learns_from}
    for stage in detector.stages():
        share = 1 / (1 + len(learns_from))
        assert stage.on == dict.fromkeys(("normal", *learns_from), share)
    assert [stage.name for stage in detector.stages()] == ["start", "flow"]
    assert stage.views == 2
    *_, stage = tiny(mixture={"consistency": 0.0}).stages()
    assert stage.views == 1


@pytest.mark.parametrize(
    ("learns_from", "copies"),
    [
        pytest.param(("unlabelled",), None, marks=pytest.mark.slow),
        (BOTH, 1),
        pytest.param(("unlabelled",), 1, marks=pytest.mark.slow),
        pytest.param(("abnormal",), 1, marks=pytest.mark.slow),
    ],
)
def test_every_use_learns_and_finds_what_was_planted(learns_from, copies):
    """96 normals; 80 unlabelled images of which 24 show a bright square; 8 labelled ones."""
    detector = tiny(mixture={"learns_from": learns_from})
    unlabelled = torch.cat((blobs(56, SIZE, seed=1), blobs(24, SIZE, seed=2, lesion=True)))
    cohorts = {
        "normal": blobs(96, SIZE),
        "unlabelled": unlabelled[torch.randperm(80)],
        "abnormal": blobs(8, SIZE, seed=3, lesion=True),
        "validation": blobs(20, SIZE, seed=4),
    }
    training = StageSettings(
        epochs=4, batch_size=24, augment=("shift",), copies=copies, optimiser=OptimiserSettings(lr=2e-3)
    )
    stages = {"start": StageSettings(batch_size=24), "flow": training}
    epochs = train_on(detector, cohorts, stages).stages[-1].epochs
    fall = {name: epochs[-1].losses[name] - epochs[0].losses[name] for name in epochs[0].losses}
    assert set(learns_from) <= set(fall)
    assert ("consistency" in fall) == ("unlabelled" in learns_from)
    assert all(fall[name] < 0 for name in ("normal", *learns_from, "reconstruction"))
    assert epochs[-1].validation < epochs[0].validation
    new = torch.cat((blobs(40, SIZE, seed=5), blobs(40, SIZE, seed=6, lesion=True)))
    scores = score(detector, new)
    assert all(bool(part.values.isfinite().all()) for part in scores.parts.values())
    assert auroc([0] * 40 + [1] * 40, scores.parts["odds"].values.numpy()) > 0.9
    again = tiny(mixture={"learns_from": learns_from}).load_fitted(detector.state_dict()).eval()
    assert torch.equal(score(again, new).parts["odds"].values, scores.parts["odds"].values)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nearest": 9, "draws": 8}, "nearest 9 of 8 draws"),
        ({"gamma": 1.5}, "gamma"),
        ({"mixture": {"channels": 17}}, "17 pooled channels cannot come from 16"),
        ({"mixture": {"learns_from": ()}}, "learns_from"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, words):
    with pytest.raises((ValidationError, ValueError), match=words):
        tiny(**changes)
