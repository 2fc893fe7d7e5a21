import numpy as np
import pytest
import torch
from in_memory import fit, score, train_on
from sklearn.datasets import make_moons
from torch.distributions import Normal
from torch.nn.functional import softplus

from secondread.detectors.contract import Batch
from secondread.detectors.detector_settings import StageSettings
from secondread.detectors.flows.realnvp_gmm import RealNVPGMM, RealNVPGMMSettings
from secondread.estimators.calibrated_odds import calibrated_line
from secondread.metrics.roc import auroc

BOTH = {"learns_from": ("unlabelled", "abnormal"), "consistency": 0.0}


def vectors(n, seed, kind=None):
    """Two moons as images of one row `[n, 1, 1, 2]`: the first is normal; None = both."""
    points, which = make_moons(2 * n, noise=0.1, random_state=seed)
    chosen = points[which == kind] if kind is not None else points[:n]
    return torch.from_numpy(5 + 3 * chosen.astype(np.float32))[:, None, None]


def make(size=(1, 2), **changes):
    torch.manual_seed(0)
    return RealNVPGMM(RealNVPGMMSettings(**{"blocks": 4, "hidden": 16} | changes), 1, size)


def values(detector, images):
    return {name: part.values for name, part in score(detector, images).parts.items()}


def test_parts_are_the_densities_of_the_flow_and_its_components():
    detector = make(mixture=BOTH)
    normals = vectors(40, 0, kind=0)
    fit(detector, normals, steps=5, unlabelled=vectors(40, 1), abnormal=vectors(10, 2, kind=1))
    new = vectors(6, 3)
    x = new.flatten(1)
    rows = normals.flatten(1)
    torch.testing.assert_close(detector.mean, rows.mean(dim=0))
    deviation = rows.std(dim=0, correction=0)
    torch.testing.assert_close(detector.scale, deviation + 0.05 * deviation.square().mean().sqrt())
    with torch.no_grad():
        z, log_determinant = detector.flow((x - detector.mean) / detector.scale)
        mixture = detector.classes.mixture
        each = torch.stack([Normal(m, mixture.deviation[0]).log_prob(z).sum(1) for m in mixture.means], 1)
    odds = each[:, 1] - each[:, 0] + mixture.log_weights[1] - mixture.log_weights[0]
    found = values(detector, new)
    torch.testing.assert_close(found["odds"], odds.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["posterior"], softplus(odds).detach(), rtol=1e-4, atol=1e-4)
    likelihood = -(each[:, 0] + log_determinant) / 2
    torch.testing.assert_close(found["likelihood"], likelihood.detach(), rtol=1e-4, atol=1e-4)


def test_a_flow_begins_as_permutations_of_the_standardised_values():
    detector = make()
    x = torch.randn(5, 2)
    z, log_determinant = detector.flow(x)
    torch.testing.assert_close(z.sort(dim=1).values, x.sort(dim=1).values)
    torch.testing.assert_close(log_determinant, torch.zeros(5), atol=1e-5, rtol=0)


def test_it_tells_moons_apart_from_normals_unlabelled_ones_and_a_few_labels():
    detector = make(blocks=6, hidden=32, noise=0.0, mixture=BOTH)
    cohorts = {"unlabelled": vectors(300, 1), "abnormal": vectors(10, 2, kind=1)}
    fit(detector, vectors(150, 0, kind=0), steps=60, batch_size=64, lr=5e-3, **cohorts)
    normal, abnormal = (values(detector, vectors(200, 5, kind=kind))["posterior"] for kind in (0, 1))
    labels = np.repeat([0, 1], 200)
    assert auroc(labels, torch.cat((normal, abnormal)).numpy()) > 0.95


def test_the_posterior_is_calibrated_on_unlabelled_and_held_out_normals_where_that_is_asked_for():
    detector = make(mixture={"consistency": 0.0, "calibrate": True, "anomaly_rate": 0.5})
    normals, unlabelled = vectors(60, 0, kind=0), vectors(80, 1)
    cohorts = {"normal": normals, "unlabelled": unlabelled}
    stages = {"joint": StageSettings(steps=10, batch_size=8)}
    train_on(detector, cohorts, stages)
    line = torch.tensor([1.0, 0.0])
    assert torch.equal(detector.classes.line, line)
    assert detector.notes()[-1] == "without held-out normals the posterior is not calibrated"
    own, held_out = (values(detector, images)["odds"] for images in (unlabelled, vectors(30, 2, kind=0)))
    calibrated = make(mixture={"consistency": 0.0, "calibrate": True, "anomaly_rate": 0.5})
    train_on(calibrated, {**cohorts, "validation": vectors(30, 2, kind=0)}, stages)
    a, b = calibrated_line(held_out.double().numpy(), own.double().numpy(), 0.5)
    torch.testing.assert_close(calibrated.classes.line, torch.tensor([a, b]), rtol=1e-3, atol=1e-3)
    found = values(calibrated, unlabelled)
    torch.testing.assert_close(found["odds"], a * own + b, rtol=1e-3, atol=1e-3)
    assert found["odds"].sigmoid().mean() == pytest.approx(0.5, abs=1e-3)
    assert calibrated.notes()[-1].startswith("the posterior is calibrated: its log odds times ")


def test_noise_is_of_the_training_alone_and_from_its_generator():
    detector = make(noise=0.5).train()
    batches = {name: Batch(vectors(20, 0)) for name in ("normal", "unlabelled")}
    drawn = [detector.loss(batches, torch.Generator().manual_seed(seed))["normal"] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    detector.eval()
    seen = [detector.loss(batches, torch.Generator().manual_seed(seed))["normal"] for seed in (0, 1)]
    assert seen[0] == seen[1]


def test_a_vector_of_one_value_and_channels_of_the_mixture_are_refused():
    with pytest.raises(ValueError, match="at least two values"):
        make(size=(1, 1))
    with pytest.raises(ValueError, match=r"mixture\.channels belongs to maps"):
        RealNVPGMMSettings(mixture={"channels": 4})
