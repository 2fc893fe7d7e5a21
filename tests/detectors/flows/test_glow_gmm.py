import math
import zlib

import pytest
import torch
from in_memory import blobs, fit, score, train_on
from torch.distributions import Normal
from torch.nn.functional import softplus

from secondread.detectors.blocks import class_mixture
from secondread.detectors.blocks.class_mixture import Latents
from secondread.detectors.contract import Batch, Generative, ScoringNoise
from secondread.detectors.detector_settings import OptimiserSettings, StageSettings
from secondread.detectors.flows import glow_posterior
from secondread.detectors.flows.glow_gmm import GlowGMM, GlowGMMSettings
from secondread.flows.glow.dequantisation import Dequantisation
from secondread.metrics.roc import auroc

BOTH = ("unlabelled", "abnormal")
ALL = {"latents": "all", "map": "likelihood", "mixture": {"start": "random", "separation": 1.0}}
UNIT = {"split_prior": "unit"}


class Continuous(Dequantisation):
    """Leaves what the flow draws as it is."""

    def images(self, y):
        return y


def tiny(rank=2, mixture=None, flow=None, **changes):
    form = GlowGMM.tiny(2)
    given = {**form.settings.model_dump(), **changes}
    given["mixture"] = {**given["mixture"], **(mixture or {})}
    given["flow"] = {**given["flow"], **(flow or {})}
    settings = GlowGMMSettings.model_validate(given)
    return GlowGMM(settings, 1, GlowGMM.tiny(rank).size)


def fitted(rank=2, **changes):
    detector = tiny(rank, **changes)
    size = detector.size
    others = {"unlabelled": blobs(16, size, seed=1, lesion=True), "abnormal": blobs(16, size, lesion=True)}
    fit(detector, blobs(16, size), steps=3, **others)
    return detector.requires_grad_(False)


def noisy(detector, images, draw=0):
    """With the noise of `in_memory.score`."""
    noise = ScoringNoise([torch.Generator().manual_seed(i) for i in range(len(images))])
    u = [noise.uniform(images.shape[1:]) for _ in range(draw + 1)][-1]
    count = 2**detector.settings.bits
    return ((images * (count - 1)).round() + u) / count - 0.5


def of(detector, y):
    """log p(y) with a standard normal latent, and s."""
    latents, _ = detector.normal.transform(y)
    if detector.settings.latents == "all":
        s = torch.cat([z.flatten(1) for z in latents], dim=1)
    else:
        s = latents[-1].flatten(2).sum(dim=2) / math.sqrt(latents[-1][0, 0].numel())
    return detector.normal.log_density(y), s


def tilt(mixture, s, label):
    """log N(s; mu_c, Sigma) - log N(s; 0, I)."""
    deviation = mixture.log_deviation.exp().expand_as(mixture.means)
    return (Normal(mixture.means[label], deviation[label]).log_prob(s) - Normal(0.0, 1.0).log_prob(s)).sum(1)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("changes", [{}, {**ALL, "flow": UNIT}], ids=["pooled", "all"])
def test_parts_are_the_densities_of_both_classes(rank, changes):
    detector = fitted(rank, **changes)
    images = blobs(3, detector.size, seed=3)
    parts = {name: part.values for name, part in score(detector, images).parts.items()}
    nats, s = of(detector, noisy(detector, images))
    normal, abnormal = (tilt(detector.classes.mixture, s, label) for label in (0, 1))
    d = detector.normal.dimensions
    bits = 8 - (nats + normal) / (d * math.log(2))
    torch.testing.assert_close(parts["likelihood"], bits.float(), atol=1e-5, rtol=1e-4)
    weights = detector.classes.mixture.log_weights
    odds = abnormal - normal + weights[1] - weights[0]
    torch.testing.assert_close(parts["odds"], odds, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(parts["posterior"], softplus(parts["odds"]))
    assert set(parts) == {"posterior", "odds", "likelihood", "background"}


def test_the_density_of_all_latent_variables_is_that_of_flowgmm():
    detector = fitted(**ALL, flow=UNIT)
    y = noisy(detector, blobs(3, detector.size, seed=3))
    latents, log_determinant = detector.normal.transform(y)
    s = torch.cat([z.flatten(1) for z in latents], dim=1)
    means = detector.classes.mixture.means
    assert s.shape[1] == means.shape[1] == 256
    expected = Normal(means[0], 1.0).log_prob(s).sum(dim=1) + log_determinant
    found = of(detector, y)[0] + detector.classes.mixture.class_log_ratio(s)[:, 0]
    torch.testing.assert_close(found, expected.double(), atol=1e-2, rtol=1e-5)


def test_the_posterior_is_of_the_mean_log_odds_over_draws():
    detector = fitted(draws=3)
    images = blobs(2, detector.size, seed=3)
    each = [detector.classes.log_odds(of(detector, noisy(detector, images, draw))[1]) for draw in range(3)]
    mean = torch.stack(each).mean(dim=0)
    assert torch.stack(each).std(dim=0).min() > 1e-4
    parts = score(detector, images).parts
    torch.testing.assert_close(parts["odds"].values, mean, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(parts["posterior"].values, softplus(mean), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("map_", ["posterior", "likelihood"])
def test_draws_that_go_through_the_flow_one_by_one_give_the_same(map_, monkeypatch):
    changes = {"map": map_} if map_ == "posterior" else {**ALL, "flow": UNIT}
    detector = fitted(draws=3, **changes)
    images = blobs(2, detector.size, seed=3)
    together = score(detector, images)
    monkeypatch.setattr(glow_posterior, "ELEMENTS_TOGETHER", 1)
    one_by_one = score(detector, images)
    for name, part in together.parts.items():
        torch.testing.assert_close(part.values, one_by_one.parts[name].values)
    torch.testing.assert_close(together.maps, one_by_one.maps)


def test_the_loss_is_that_of_the_mixture_in_nats_of_the_levels_per_dimension():
    detector = fitted(mixture={"positive_unlabelled": 0.2})
    size = detector.size
    batches = {
        "normal": Batch(blobs(3, size)),
        "unlabelled": Batch(blobs(4, size, seed=4), others=(Batch(blobs(4, size, seed=5)),)),
        "abnormal": Batch(blobs(2, size, lesion=True)),
    }
    terms = detector.joint_loss(batches, torch.Generator().manual_seed(3))
    together = torch.cat(
        [batches[name].images for name in batches] + [batches["unlabelled"].others[0].images]
    )
    u = torch.rand(together.shape, generator=torch.Generator().manual_seed(3))
    nats, s = of(detector, ((together * 255).round() + u) / 256 - 0.5)
    nats = nats - 256 * math.log(256)
    found, at = {}, 0
    for name, batch in batches.items():
        rows = slice(at, at := at + len(batch))
        other = s[9:] if name == "unlabelled" else None
        found[name] = Latents(nats[rows], s[rows], torch.full((len(batch),), 256.0), other)
    expected = detector.classes.terms(found)
    assert {"consistency", "cross_entropy", "positive_unlabelled", "rate"} < set(terms)
    for name, value in terms.items():
        torch.testing.assert_close(value.double(), expected[name].double(), atol=1e-4, rtol=1e-4)
    assert set(detector.normal_loss(batches, torch.Generator())) == {"normal"}


@pytest.mark.parametrize(
    ("learns_from", "pretrain"),
    [(("unlabelled",), True), (("unlabelled", "abnormal"), False), (("abnormal",), True)],
)
def test_what_it_needs_is_what_it_learns_from(learns_from, pretrain):
    detector = tiny(mixture={"learns_from": learns_from}, pretrain=pretrain)
    assert detector.needs == {"normal", *learns_from}
    *before, start, joint = detector.stages()
    assert [(stage.name, set(stage.on)) for stage in before] == ([("normal", {"normal"})] if pretrain else [])
    assert (start.prepare is None) == pretrain
    for stage in (start, joint):
        assert stage.on == dict.fromkeys(("normal", *learns_from), 1 / (1 + len(learns_from)))


@pytest.mark.parametrize(
    ("learns_from", "changes"),
    [
        (("unlabelled",), {}),
        pytest.param(BOTH, {}, marks=pytest.mark.slow),
        pytest.param(("abnormal",), {"pretrain": False}, marks=pytest.mark.slow),
        pytest.param(BOTH, {**ALL, "flow": UNIT, "pretrain": False}, marks=pytest.mark.slow),
    ],
)
def test_every_use_learns(learns_from, changes):
    mixture = {**changes.get("mixture", {}), "learns_from": learns_from}
    detector = tiny(**{**changes, "mixture": mixture})
    size = detector.size
    cohorts = {
        "normal": blobs(32, size),
        "unlabelled": torch.cat((blobs(22, size, seed=1), blobs(10, size, seed=2, lesion=True))),
        "abnormal": blobs(6, size, seed=3, lesion=True),
        "validation": blobs(8, size, seed=4),
    }
    training = StageSettings(epochs=4, batch_size=12, optimiser=OptimiserSettings(lr=2e-3))
    stages = {
        "normal": training,
        "start": StageSettings(batch_size=12),
        "joint": training.model_copy(update={"augment": ("shift",), "copies": 1}),
    }
    log = train_on(detector, cohorts, stages)
    assert [stage.name for stage in log.stages] == [stage.name for stage in detector.stages()]
    epochs = log.stages[-1].epochs
    for name in ("normal", *learns_from):
        assert epochs[-1].losses[name] < epochs[0].losses[name]
    assert ("consistency" in epochs[0].losses) == ("unlabelled" in learns_from)
    assert all(bool(part.values.isfinite().all()) for part in score(detector, blobs(3, size)).parts.values())
    assert len(log.notes) == ("unlabelled" in learns_from)


def test_labelled_lesions_rank_higher():
    detector = tiny(mixture={"learns_from": ("abnormal",)})
    size = detector.size
    cohorts = {"normal": blobs(128, size), "abnormal": blobs(16, size, seed=1, lesion=True)}
    training = StageSettings(epochs=6, batch_size=32, optimiser=OptimiserSettings(lr=3e-3))
    stages = {"normal": training, "start": StageSettings(batch_size=32), "joint": training}
    train_on(detector, cohorts, stages)
    new = torch.cat((blobs(40, size, seed=5), blobs(40, size, seed=6, lesion=True)))
    odds = score(detector, new).parts["odds"].values
    assert auroc([0] * 40 + [1] * 40, odds.numpy()) > 0.85


def test_the_posterior_is_calibrated_on_odds_as_scoring_draws_them(monkeypatch):
    def seen(normal, unlabelled, rate):
        odds.append(torch.from_numpy(unlabelled))
        return 1.0, 0.0

    odds = []
    monkeypatch.setattr(class_mixture, "calibrated_line", seen)
    mixture = {"learns_from": ("unlabelled",), "consistency": 0.0, "calibrate": True, "anomaly_rate": 0.5}
    detector = tiny(bits=2, draws=3, mixture=mixture)
    unlabelled = blobs(12, (16, 16), seed=1, lesion=True)
    cohorts = {
        "normal": blobs(16, (16, 16)),
        "unlabelled": unlabelled,
        "validation": blobs(8, (16, 16), seed=3),
    }
    stage = StageSettings(steps=3, batch_size=5, optimiser=OptimiserSettings())
    train_on(detector, cohorts, dict.fromkeys(("normal", "start", "joint", "posterior"), stage))
    streams = [torch.Generator().manual_seed(zlib.crc32(image.numpy().tobytes())) for image in unlabelled]
    with torch.no_grad():
        scored = detector.score(Batch(unlabelled), ScoringNoise(streams), maps=False).parts["odds"].values
    torch.testing.assert_close(odds[0].float().sort().values, scored.sort().values, atol=1e-4, rtol=1e-4)


def test_the_map_is_of_the_odds_or_the_likelihood_or_none():
    images = blobs(2, (16, 16))
    assert set(score(tiny(), images).maps) == {"posterior"}
    detector = fitted(map="likelihood", mixture={"start": "apart"}, pretrain=False)
    shown = score(detector, images).maps["likelihood"].flatten(1).mean(dim=1)
    nats, _ = of(detector, noisy(detector, images))
    torch.testing.assert_close(shown.double(), 8 - nats / (256 * math.log(2)), atol=1e-5, rtol=1e-4)
    without = tiny(map="none")
    assert without.map_mixture() is None
    assert not score(without, images).maps


@pytest.mark.parametrize("changes", [{}, {**ALL, "flow": UNIT}], ids=["pooled", "all"])
def test_fictional_images_are_of_the_normal_component(changes):
    detector = fitted(**changes)
    assert isinstance(detector, Generative)
    one, again = (detector.sample(3, torch.Generator().manual_seed(5)) for _ in range(2))
    assert one.shape == (3, 1, 16, 16)
    assert torch.equal(one, again)
    assert 0 <= float(one.min()) < float(one.max()) <= 1
    mixture = detector.classes.mixture
    mixture.means[0].normal_(std=3.0)
    detector.dequantisation = Continuous(8)
    s = of(detector, detector.sample(400, torch.Generator().manual_seed(5)))[1]
    deviation = mixture.log_deviation.exp().expand_as(mixture.means)[0]
    away = (s - mixture.means[0]) / deviation
    torch.testing.assert_close(away.mean(dim=0), torch.zeros_like(away[0]), atol=0.25, rtol=0)
    torch.testing.assert_close(away.std(dim=0), torch.ones_like(away[0]), atol=0.2, rtol=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"flow": {"top_prior": "learned"}}, "takes the place of a standard normal prior"),
        ({"latents": "all", "map": "none"}, "with latents: all flow.split_prior too"),
        ({"latents": "all", "flow": UNIT}, "gives no posterior map"),
        ({**ALL, "flow": UNIT, "mixture": {"channels": 4}}, "has no channels"),
        ({"score": "typicality"}, "score is posterior or likelihood"),
        ({"second": "mixture"}, "second"),
        ({"map": "gradient"}, "map"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        tiny(**changes)
