import math

import pytest
import torch
from in_memory import blobs, fit, score
from pydantic import ValidationError

from secondread.detectors.contract import Batch
from secondread.detectors.flows.aeflow import AEFlow, AEFlowSettings
from secondread.errors import UserError
from secondread.recipes.recipe import Recipe

EXTRA = ("latent", "log_determinant", "residual", "residual_peak")

RESNET = {"encoder": {"name": "resnet18", "weights": "random"}, "decoder": {"hidden": (32, 16, 8)}}
"""Whose map of 32×32 images is 2×2."""


def tiny(rank, **changes):
    form = AEFlow.tiny(rank)
    settings = AEFlowSettings.model_validate({**form.settings.model_dump(), **changes})
    return AEFlow(settings, form.channels, form.size)


def conv(rank=2, size=(32, 32), **changes):
    settings = AEFlowSettings.model_validate(
        {
            "encoder": {"name": "conv", "width": 8, "widest": 16, "code": 8, "stride": 4},
            "flow": {"blocks": 2, "hidden": 16},
            "decoder": {"hidden": (8,)},
            **changes,
        }
    )
    return AEFlow(settings, 1, size)


def test_the_paper_has_its_shapes_and_parameter_counts():
    settings = AEFlowSettings.model_validate({"encoder": {"name": "wide_resnet50_2"}})
    with torch.device("meta"):
        detector = AEFlow(settings, 3, (256, 256), pretrained=False)
        (features,) = detector.encode(torch.empty(1, 3, 256, 256, device="meta"))
        z, log_determinant, _ = detector._flow(Batch(torch.empty(1, 3, 256, 256, device="meta")))
        image = detector.decoder(z)
    assert features.shape == z.shape == (1, 1024, 16, 16)
    assert log_determinant.shape == (1, 1, 16, 16)
    assert image.shape == (1, 3, 256, 256)
    assert len(detector.flow.blocks) == 8
    subnet = 512 * 256 * 9 + 256 + 256 * 1024 + 1024
    assert sum(p.numel() for p in detector.flow.parameters()) == 8 * (subnet + 2 * 1024)


@pytest.mark.parametrize("rank", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_few_steps_reduce_every_stage_s_loss(rank):
    detector = tiny(rank)
    history = fit(detector, blobs(16, detector.size), steps=30)
    assert list(history) == (["flow"] if rank == 2 else ["autoencoder", "flow"])
    for losses in history.values():
        assert sum(losses[-4:]) < sum(losses[:4])


@pytest.mark.parametrize("coupling", ["additive", "spline"])
def test_other_couplings_learn_too_and_an_additive_one_has_the_same_determinant_everywhere(coupling):
    detector = tiny(2, flow={"blocks": 2, "hidden": 16, "coupling": coupling}, extra_parts=EXTRA)
    images = blobs(16, detector.size)
    (losses,) = fit(detector, images, steps=30).values()
    assert sum(losses[-4:]) < sum(losses[:4])
    determinants = score(detector, images).parts["log_determinant"].values
    assert (float(determinants.std()) < 1e-6) == (coupling == "additive")
    started = detector.start({"normal": Batch(images)})
    assert ("share beyond the splines" in started) == (coupling == "spline")


@pytest.mark.parametrize("rank", [2, 3])
def test_a_score_does_not_depend_on_the_batch(rank):
    detector = tiny(rank, extra_parts=EXTRA)
    images = blobs(5, detector.size)
    fit(detector, images, steps=4)
    together, alone = score(detector, images), score(detector, images[2:3])
    assert set(together.parts) == {"likelihood", "reconstruction", *EXTRA}
    for name, part in together.parts.items():
        assert part.values.dtype == torch.float32
        torch.testing.assert_close(part.values[2:3], alone.parts[name].values, atol=1e-4, rtol=1e-4)
    for name, anomaly_map in together.maps.items():
        assert anomaly_map.shape == (5, 1, *detector.size)
        torch.testing.assert_close(anomaly_map[2:3], alone.maps[name], atol=1e-4, rtol=1e-4)


def test_the_flow_stage_leaves_the_encoder_alone_and_features_may_be_given():
    detector = tiny(2)
    images = blobs(8, detector.size)
    encoder = {name: t.clone() for name, t in detector.encoder.state_dict().items()}
    fit(detector, images, steps=4)
    assert all(torch.equal(encoder[name], t) for name, t in detector.encoder.state_dict().items())
    generator = torch.Generator()
    without = detector.loss({"normal": Batch(images)}, generator)
    given = detector.loss({"normal": Batch(images, features=detector.encode(images))}, generator)
    for name in without:
        torch.testing.assert_close(without[name], given[name])


def test_likelihood_forms_are_one_another_s_functions():
    images = blobs(3, (32, 32))
    parts = {}
    for form in ("nats", "per_dimension", "exp_per_dimension"):
        torch.manual_seed(0)
        parts[form] = score(conv(likelihood=form), images).parts["likelihood"].values
    dimensions = 8 * 8 * 8
    torch.testing.assert_close(parts["nats"], parts["per_dimension"] * dimensions)
    torch.testing.assert_close(parts["exp_per_dimension"], -torch.exp(-parts["per_dimension"]))


def test_likelihood_is_the_negative_log_density_of_the_flow():
    detector = conv()
    images = blobs(2, (32, 32))
    with torch.no_grad():
        expected = -detector.flow.log_density(detector.encode(images)[0]) / (8 * 8 * 8)
    torch.testing.assert_close(score(detector, images).parts["likelihood"].values, expected)


def test_flow_loss_units_differ_by_constants():
    terms = {}
    for unit in ("nats", "per_dimension", "bits_per_dimension"):
        torch.manual_seed(0)
        terms[unit] = conv(flow_loss=unit).loss({"normal": Batch(blobs(2, (32, 32)))}, torch.Generator())[
            "flow"
        ]
    torch.testing.assert_close(terms["nats"], terms["per_dimension"] * 8 * 8 * 8)
    torch.testing.assert_close(terms["bits_per_dimension"] * math.log(2), terms["per_dimension"])


def test_the_loss_in_nats_is_of_the_positions_that_padding_leaves():
    detector, images = conv(flow_loss="nats", alpha=1.0), blobs(2, (32, 32))
    valid = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    valid[0, ..., 16:] = False
    with torch.no_grad():
        _, _, negative = detector._flow(Batch(images))
    expected = (negative[0, ..., :4].sum() + negative[1].sum()) / 2
    found = detector.loss({"normal": Batch(images, valid)}, torch.Generator())["flow"]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("pool", ["mean", "top", "max"])
def test_pooling_the_likelihood_grows_from_mean_to_maximum(pool):
    torch.manual_seed(0)
    value = score(conv(pool=pool), blobs(2, (32, 32))).parts["likelihood"].values
    torch.manual_seed(0)
    mean = score(conv(), blobs(2, (32, 32))).parts["likelihood"].values
    assert (value >= mean - 1e-6).all()
    assert (value > mean + 1e-4).all() == (pool != "mean")


def test_what_lies_in_padding_does_not_reach_the_map():
    detector, images = conv(map="likelihood"), blobs(2, (32, 32))
    valid = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    valid[..., 16:] = False
    z, log, nats = detector._flow(Batch(images))
    shown = []
    for amount in (0.0, 1e3):
        nats[..., 4:] += amount
        with torch.no_grad():
            found = detector.scores_of(Batch(images, valid), z, log, nats / 8, maps=True)
        shown.append(found.maps["likelihood"])
    torch.testing.assert_close(*shown)


def test_padding_is_left_out_of_parts():
    detector = conv()
    images = blobs(2, (32, 32))
    valid = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    whole = score(detector, images).parts
    for name, part in score(detector, images, valid).parts.items():
        torch.testing.assert_close(part.values, whole[name].values)
    valid[..., 16:] = False
    half = score(detector, images, valid).parts
    with torch.no_grad():
        _, _, negative = detector._flow(Batch(images))
    expected = negative[..., :4].flatten(1).mean(dim=1) / 8
    torch.testing.assert_close(half["likelihood"].values, expected)


def test_a_lesion_raises_both_maps_where_it_lies():
    detector = conv(map="both")
    fit(detector, blobs(64, (32, 32)), steps=40)
    healthy, ill = blobs(8, (32, 32), seed=9), blobs(8, (32, 32), seed=9, lesion=True)
    before, after = score(detector, healthy), score(detector, ill)
    for name in ("residual", "likelihood"):
        change = (after.maps[name] - before.maps[name]).mean(dim=(0, 1))
        assert float(change[16:21, 16:21].mean()) > 3 * float(change.abs().mean())
    assert after.parts["likelihood"].values.mean() > before.parts["likelihood"].values.mean()


@pytest.mark.parametrize(
    "features",
    [
        pytest.param({"standardise": "position"}, marks=pytest.mark.slow),
        {"standardise": "position", "projection": 20},
        {"standardise": "none", "projection": 12, "kind": "random"},
        {"compress": True, "standardise": "channel", "layers": ("layer2", "layer3"), "channels": 24},
        pytest.param(
            {"compress": True, "standardise": "position", "projection": 8, "noise": 0.1},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_feature_settings_fit_and_survive_a_state_dict(features):
    changes = {**RESNET, "features": features, "flow": {"blocks": 2, "hidden": 16, "positions": True}}
    detector = tiny(2, **changes)
    images = blobs(12, detector.size)
    fit(detector, images, steps=4)
    again = tiny(2, **changes)
    again.load_fitted(detector.state_dict()).eval()
    for name, part in score(detector, images).parts.items():
        torch.testing.assert_close(score(again, images).parts[name].values, part.values)


def test_a_conv_encoders_code_may_be_whitened_whole():
    encoder = {"name": "conv", "width": 8, "widest": 16, "code": 8, "linear": 16, "stride": 4}
    detector = conv(encoder=encoder, features={"standardise": "channel", "projection": 24})
    images = blobs(64, (32, 32))
    assert list(fit(detector, images, steps=2)) == ["autoencoder", "flow"]
    with torch.no_grad():
        h = detector.normalisation(detector.encode(images)[0])
    covariance = torch.cov(h.transpose(0, 1).flatten(1))
    off = covariance - covariance.diagonal().diag()
    assert h.shape == (64, 24, 8, 8)
    assert float(off.abs().max()) < 0.1 * float(covariance.diagonal().max())


def test_the_students_faults_are_settings():
    encoder = {"name": "resnet18", "weights": "random", "imagenet_statistics": False, "batch_norm": "train"}
    detector = tiny(2, encoder=encoder, decoder={"form": "student", "hidden": (16, 8, 4)})
    (stage,) = detector.stages()
    assert stage.frozen is None
    before = detector.encoder.network.bn1.running_mean.clone()
    fit(detector, blobs(8, detector.size), steps=2)
    assert not torch.equal(before, detector.encoder.network.bn1.running_mean)


def test_scores_are_finite_on_hostile_images():
    detector = tiny(2)
    fit(detector, blobs(8, detector.size), steps=4)
    spike = torch.zeros(1, 1, 32, 32)
    spike[..., 3, 3] = 1
    for images in (torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32), spike, 65535 * spike):
        scores = score(detector, images)
        assert all(bool(p.values.isfinite().all()) for p in scores.parts.values())
        assert all(bool(m.isfinite().all()) for m in scores.maps.values())


def test_mixtures_follow_the_settings():
    detector = conv(beta=0.7, scaled=False, two_tailed=("likelihood",))
    assert dict(detector.mixture().weights) == {"likelihood": 0.7, "reconstruction": pytest.approx(0.3)}
    assert not detector.mixture().scaled
    assert detector.map_mixture().weights == {"residual": 1.0}
    assert score(detector, blobs(1, (32, 32))).parts["likelihood"].tail == "two"


def test_impossible_settings_are_refused():
    with pytest.raises(ValidationError, match="pool"):
        conv(likelihood="nats", pool="max")
    with pytest.raises(ValidationError, match="projection"):
        conv(features={"projection": 4})
    with pytest.raises(ValidationError, match="projection of 24"):
        conv(encoder={"name": "conv", "code": 8, "linear": 16}, features={"projection": 8})


def test_missing_weights_are_named(monkeypatch):
    monkeypatch.delenv("SECONDREAD_WEIGHTS", raising=False)
    with pytest.raises(UserError, match="squeezenet1_1"):
        AEFlow(AEFlowSettings(), 1, (64, 64))


def test_its_encoder_is_not_rounded_to_bfloat16():
    detector = AEFlow(AEFlow.tiny(2).settings, 1, (32, 32), pretrained=False).eval()
    images = torch.rand(2, 1, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (rough,) = detector.encode(images)
    assert torch.equal(rough, detector.encode(images)[0])


def test_it_runs_under_bfloat16_with_float32_scores():
    detector = tiny(2)
    images = blobs(4, detector.size)
    fit(detector, images, steps=4)
    exact = score(detector, images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = score(detector, images)
    for name, part in rough.parts.items():
        assert part.values.dtype == torch.float32
        torch.testing.assert_close(part.values, exact.parts[name].values, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("rank", [2, 3])
def test_a_flow_starts_near_the_identity_whatever_the_scale_of_its_features(rank):
    images = blobs(8, (32, 32, 16)[:rank])

    def start(**features):
        detector = conv(rank, (32, 32, 16)[:rank], features=features)
        last = detector.encoder.network[-1]
        with torch.no_grad():
            last.weight.mul_(100)  # as in networks without batch normalisation
        (stage,) = [stage for stage in detector.eval().stages() if stage.name == "flow"]
        if stage.prepare:
            stage.prepare(iter([{"normal": Batch(images)}]), torch.Generator())
        with torch.no_grad():
            figures = stage.start({"normal": Batch(images)})
        return figures["bits/dim at the start"], figures["bits/dim of the identity"]

    raw, raw_identity = start(standardise="none")
    assert raw > 2 * raw_identity > 100
    for features in ({}, {"standardise": "scale"}):  # the default
        scaled, identity = start(**features)
        # of features of mean square 1: (1 + log 2 pi) / 2 nats
        assert identity == pytest.approx((1 + math.log(2 * math.pi)) / 2 / math.log(2), rel=1e-4)
        assert scaled == pytest.approx(identity, abs=0.3)


def test_the_paper_preset_brings_features_to_unit_scale_and_says_so():
    recipe = Recipe.load("aeflow-paper")
    assert recipe.detector["features"] == {"standardise": "scale"}
    assert any("root mean square over the normals" in said for said in recipe.about.differences)


def test_a_frozen_encoder_reads_volumes_by_slices():
    frozen = {"name": "squeezenet1_1", "weights": "random", "layer": "features.4"}
    settings = AEFlowSettings.model_validate(
        {
            "encoder": frozen,
            "features": {"standardise": "channel", "projection": 8},
            "flow": {"blocks": 2, "hidden": 8},
            "decoder": {"hidden": (8,)},
            "map": "both",
        }
    )
    detector = AEFlow(settings, 1, (12, 24, 24))
    assert detector.map_size == (3, 5, 5)
    volumes = blobs(6, detector.size)
    history = fit(detector, volumes, steps=12)
    assert list(history) == ["flow"]
    found = score(detector, volumes)
    assert {name: tuple(values.shape) for name, values in found.maps.items()} == {
        "residual": (6, 1, 12, 24, 24),
        "likelihood": (6, 1, 12, 24, 24),
    }
    assert all(bool(part.values.isfinite().all()) for part in found.parts.values())
