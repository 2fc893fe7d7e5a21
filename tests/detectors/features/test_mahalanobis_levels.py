import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score
from sklearn.covariance import LedoitWolf

from secondread.detectors.blocks.encoder_settings import EncoderSettings
from secondread.detectors.features.mahalanobis_levels import MahalanobisLevels, MahalanobisLevelsSettings
from secondread.errors import UserError

RANDOM = EncoderSettings(name="resnet18", weights="random")


def make(size=(32, 32), **settings):
    torch.manual_seed(0)
    settings = MahalanobisLevelsSettings(**{"encoder": RANDOM, "strides": (4, 8), **settings})
    return MahalanobisLevels(settings, 1, size)


def test_each_level_has_a_gaussian_of_its_own_and_the_score_is_the_sum_of_the_distances():
    detector, normals, new = make(), blobs(40, (32, 32)), blobs(4, (32, 32), seed=1)
    fit(detector, normals, batch_size=7)
    parts = score(detector, new).parts
    assert list(parts) == ["level_1", "level_2"]
    with torch.no_grad():
        of_normals, of_new = detector.represent.encoder(normals), detector.represent.encoder(new)
    for level, (fitted_on, seen) in enumerate(zip(of_normals, of_new, strict=True), start=1):
        model = LedoitWolf().fit(fitted_on.mean(dim=(2, 3)).double().numpy())
        expected = np.sqrt(model.mahalanobis(seen.mean(dim=(2, 3)).double().numpy()))
        np.testing.assert_allclose(parts[f"level_{level}"].values, expected, rtol=1e-3)
    mixture = detector.mixture()
    assert (dict(mixture.weights), mixture.scaled) == ({"level_1": 1.0, "level_2": 1.0}, False)


def test_without_a_word_every_stride_that_the_encoder_names_is_a_level():
    with torch.device("meta"):
        detector = MahalanobisLevels(MahalanobisLevelsSettings(encoder=RANDOM), 1, (64, 64))
    assert detector.represent.encoder.layers == ("layer1", "layer2", "layer3", "layer4")
    assert [len(gaussian.mean) for gaussian in detector.gaussians] == [64, 128, 256, 512]


def test_components_of_least_variance_are_kept_level_by_level_and_load_again():
    detector, new = make(least_variance=0.2), blobs(4, (32, 32), seed=1)
    fit(detector, blobs(40, (32, 32)))
    kept = [len(gaussian.whitener) for gaussian in detector.gaussians]
    assert 0 < kept[0] < 64
    assert 0 < kept[1] < 128
    again = make(least_variance=0.2).load_fitted(detector.state_dict())
    for name, part in score(detector, new).parts.items():
        assert torch.equal(score(again, new).parts[name].values, part.values)


def test_a_lesion_raises_the_sum():
    detector = make()
    fit(detector, blobs(60, (32, 32)))

    def total(**more):
        parts = score(detector, blobs(8, (32, 32), seed=9, **more)).parts
        return sum(part.values for part in parts.values())

    assert (total(lesion=True) > total()).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match="at least two normal"):
        fit(make(), blobs(1, (32, 32)))
    with pytest.raises(ValueError, match="pretrained weights, not conv"):
        make(encoder=EncoderSettings(name="conv"))
