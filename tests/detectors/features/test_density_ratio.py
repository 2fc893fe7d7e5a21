import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.contract import Batch, ScoringNoise
from secondread.detectors.features.density_ratio import DensityRatio, DensityRatioSettings
from secondread.fitting.fit import fit as fit_bundle
from secondread.metrics.roc import auroc
from secondread.recipes.recipe import Recipe

CHANNELS = 256
"""Of a ResNet-18's map of stride 16, which is 2×2 for 32×32 images."""


def make(pretrained=True, **changes):
    form = DensityRatio.tiny(2)
    encoder = {"name": "resnet18", "weights": "random"}
    given = {"encoder": encoder, "form": "linear", "projection": None, **changes}
    settings = {**form.settings.model_dump(), **given}
    return DensityRatio(
        DensityRatioSettings.model_validate(settings), form.channels, form.size, pretrained=pretrained
    )


def with_features(rows):
    """A batch whose maps have these features `[n, 256]` everywhere."""
    maps = rows.float()[:, :, None, None].expand(-1, -1, 2, 2)
    return Batch(torch.zeros(len(rows), 1, 32, 32), features=(maps,))


def collect(detector, normal, unlabelled):
    for at in range(0, max(len(normal), len(unlabelled)), 100):
        parts = {"normal": normal[at : at + 100], "unlabelled": unlabelled[at : at + 100]}
        detector.collect({name: with_features(rows) for name, rows in parts.items() if len(rows)})
    detector.finish()
    return detector.eval()


@torch.no_grad()
def ratio_of(detector, rows):
    return detector.score(with_features(rows), ScoringNoise([]), maps=False).parts["ratio"].values


def mixture(rate, n_normal=500, n=400, shift=0.7):
    """Unit Gaussian features; of abnormal images, 30 of them are moved."""
    normal, unlabelled = torch.randn(n_normal, CHANNELS), torch.randn(n, CHANNELS)
    unlabelled[: round(rate * n), :30] += shift
    return normal, unlabelled[torch.randperm(n)]


@pytest.mark.parametrize(("form", "more"), [("linear", {"penalty": 1e-4}), ("gaussian", {})])
def test_the_log_ratio_of_two_gaussians_is_recovered(form, more):
    normal, unlabelled, new = (
        torch.zeros(3000, CHANNELS),
        torch.zeros(2000, CHANNELS),
        torch.zeros(50, CHANNELS),
    )
    for rows in (normal, unlabelled, new):
        rows[:, :2] = torch.randn(len(rows), 2)
    shift = torch.tensor([1.0, -0.5])
    unlabelled[:, :2] += shift
    found = ratio_of(collect(make(form=form, **more), normal, unlabelled), new)
    expected = new[:, :2] @ shift - shift @ shift / 2
    torch.testing.assert_close(found, expected, atol=0.15, rtol=0.1)


def test_flows_recover_the_log_ratio_of_two_gaussians():
    detector = make(form="flow", projection=2, flow={"blocks": 2, "hidden": 16, "noise": 0.0})
    shift = torch.tensor([1.0, -0.5])
    for flow, mean in ((detector.normal_flow, 0 * shift), (detector.unlabelled_flow, shift)):
        optimiser = torch.optim.Adam(flow.parameters(), lr=1e-2)
        for _ in range(80):
            loss = -flow.log_density((torch.randn(128, 2) + mean)[..., None]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    new = torch.randn(200, 2)
    with torch.no_grad():
        found = detector.log_ratio(new)
    expected = new @ shift - shift @ shift / 2
    assert (found - expected).abs().mean() < 0.25


@pytest.mark.parametrize("rate", [0.0, pytest.param(0.1, marks=pytest.mark.slow), 0.3])
@pytest.mark.parametrize(("form", "projection"), [("linear", None), ("gaussian", 40)])
def test_the_anomaly_rate_is_estimated(rate, form, projection):
    found = []
    for _ in range(3):
        detector = collect(make(form=form, projection=projection), *mixture(rate, shift=1.5))
        found.append(float(detector.anomaly_rate))
    assert np.mean(found) == pytest.approx(rate, abs=0.05)


def test_too_few_abnormal_images_are_told():
    assert make().notes() == ()
    (note,) = collect(make(), *mixture(0.0)).notes()
    assert "too few to learn from" in note
    (note,) = collect(make(), *mixture(0.3, shift=1.5)).notes()
    assert note.startswith("an estimated ")
    assert "too few" not in note


def test_the_warning_reaches_whoever_fits_and_the_bundle(phantoms, tmp_path, capsys):
    detector = make().settings.model_dump()
    cohorts = {"validation": 0.2, "calibration": 0.3, "anomaly_rate": 0.0}
    recipe = Recipe.from_mapping(
        {"preprocessing": {"size": [32, 32]}, "detector": detector, "cohorts": cohorts}
    )
    bundle = fit_bundle(
        recipe, phantoms, tmp_path / "bundle", cache=tmp_path / "cache", workers=0, device="cpu"
    )
    (note,) = bundle.provenance.training["notes"]
    assert "too few to learn from" in note
    assert f"note: {note}" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["linear", pytest.param("gaussian", marks=pytest.mark.slow), "flow"])
def test_lesions_rank_higher_and_the_fitted_state_loads(form):
    changes = {"form": form, "projection": None if form == "linear" else 6}
    detector = make(**changes)
    unlabelled = torch.cat((blobs(40, (32, 32), seed=1), blobs(40, (32, 32), seed=2, lesion=True)))
    unlabelled = unlabelled[torch.randperm(80)]
    fit(detector, blobs(60, (32, 32)), steps=30, batch_size=20, unlabelled=unlabelled)
    new = torch.cat((blobs(30, (32, 32), seed=3), blobs(30, (32, 32), seed=4, lesion=True)))
    found = score(detector, new).parts["ratio"].values
    assert auroc([0] * 30 + [1] * 30, found.numpy()) > 0.9
    again = make(pretrained=False, **changes).load_fitted(detector.state_dict()).eval()
    assert torch.equal(score(again, new).parts["ratio"].values, found)
    assert float(again.anomaly_rate) == float(detector.anomaly_rate)


def test_padding_does_not_count():
    detector = make(pool="mean_deviation")
    valid = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    valid[..., 16:] = False
    maps = torch.randn(1, CHANNELS, 2, 2)
    padded = maps.clone()
    padded[..., 1] = 1e3
    found = detector._features(Batch(torch.zeros(1, 1, 32, 32), valid, (padded,)))
    left = maps[..., 0]
    expected = torch.cat((left.mean(dim=2), left.std(dim=2, correction=0)), dim=1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_several_layers_meet_on_the_grid_of_the_last():
    detector = make(layers=("layer1", "layer2", "layer3"), pool="mean_deviation")
    (maps,) = detector.encode(blobs(2, (32, 32)))
    assert maps.shape == (2, 64 + 128 + 256, 2, 2)
    assert detector.mean.shape == (2 * (64 + 128 + 256),)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": {"name": "conv"}}, "pretrained weights"),
        ({"form": "flow", "projection": None}, "needs a projection"),
        ({"projection": 300}, "only 256 features"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        make(**changes)


def test_against_labelled_abnormal_images_it_is_a_supervised_classifier_without_a_rate():
    detector = make(against="abnormal")
    assert detector.needs == {"normal", "abnormal"}
    few = blobs(10, (32, 32), seed=2, lesion=True)
    fit(detector, blobs(60, (32, 32)), batch_size=20, abnormal=few)
    new = torch.cat((blobs(30, (32, 32), seed=3), blobs(30, (32, 32), seed=4, lesion=True)))
    assert auroc([0] * 30 + [1] * 30, score(detector, new).parts["ratio"].values.numpy()) > 0.9
    assert torch.isnan(detector.anomaly_rate)
    assert detector.notes() == ()
