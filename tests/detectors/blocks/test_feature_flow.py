import pytest

from secondread.detectors.features.anomaly_dino import AnomalyDINO
from secondread.detectors.features.patch_mixture import PatchMixture
from secondread.detectors.flows.fastflow import FastFlow
from secondread.detectors.reconstruction.feature_autoencoder import FeatureAutoencoder
from secondread.detectors.reconstruction.perceptual_ae import PerceptualAE


def with_noise(detector, noise):
    whole = detector.tiny(2).settings.model_dump()
    return detector.Settings.model_validate({**whole, "features": {**whole["features"], "noise": noise}})


@pytest.mark.parametrize("detector", [AnomalyDINO, PatchMixture, FeatureAutoencoder, PerceptualAE])
def test_noise_on_features_is_refused_where_no_flow_trains_on_them(detector):
    assert with_noise(detector, 0).features.noise == 0
    with pytest.raises(ValueError, match="noise is not used here: no flow trains on these features"):
        with_noise(detector, 0.1)


def test_a_flow_takes_noise_on_its_features():
    assert with_noise(FastFlow, 0.1).features.noise == 0.1
