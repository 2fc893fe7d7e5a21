import numpy as np
import pytest
import torch
from small_detectors import Autoencoder, AutoencoderSettings, build

from secondread.calibration.raw_scores import concatenate
from secondread.detectors.contract import Batch, Scores, ScoringNoise
from secondread.scoring.image_source import ArraySource
from secondread.scoring.scorer import Scorer, noise_for


@pytest.fixture
def source() -> ArraySource:
    return ArraySource(np.random.default_rng(0).normal(size=(7, 1, 8, 8)))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_scores_come_out_in_full_precision_with_maps_on_the_images_grid(source, precision):
    raw = concatenate(
        list(Scorer(build(AutoencoderSettings()), precision=precision).set(source, batch_size=3))
    )
    assert len(raw) == 7
    assert raw.parts["residual"].dtype == np.float64
    assert raw.maps is not None
    assert raw.maps["residual"].shape == (7, 8, 8)
    assert raw.maps["residual"].dtype == np.float32


def test_bfloat16_stays_near_float32(source):
    detector = build(AutoencoderSettings())
    exact = concatenate(list(Scorer(detector, precision="float32").set(source)))
    fast = concatenate(list(Scorer(detector, precision="bf16").set(source)))
    np.testing.assert_allclose(fast.parts["residual"], exact.parts["residual"], rtol=0.02)


def test_an_images_noise_follows_its_digest_alone(source):
    detector = build(AutoencoderSettings())
    together = concatenate(list(Scorer(detector).set(source, batch_size=7)))
    images, valid = source.batch([5])
    alone = Scorer(detector).batch(images, valid, [source.digests[5]], maps=False)
    assert alone.maps is None
    assert alone.parts["jitter"][0] == together.parts["jitter"][5]
    assert len(set(together.parts["jitter"])) == 7


def test_noise_is_seeded_with_the_digests_first_eight_bytes():
    digest = "00000000000000ff" + "ab" * 8
    drawn = noise_for([digest]).normal((3,))
    assert torch.equal(drawn[0], torch.randn(3, generator=torch.Generator().manual_seed(255)))


def test_a_detector_that_takes_gradients_gets_them(source):
    class Sensitivity(Autoencoder):
        gradients_at_scoring = True

        def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
            with torch.enable_grad():
                images = batch.images.clone().requires_grad_()
                total = super().score(Batch(images), noise, maps=False).parts["residual"].values.sum()
                (slope,) = torch.autograd.grad(total, images)
            parts = super().score(batch, noise, maps=False).parts
            return Scores(parts, {"slope": slope.abs()} if maps else {})

    raw = Scorer(build(AutoencoderSettings(), kind=Sensitivity)).batch(
        *source.batch([0, 1]), source.digests[:2]
    )
    assert raw.maps is not None
    assert raw.maps["slope"].max() > 0


def test_an_empty_set_gives_no_batch():
    assert list(Scorer(build(AutoencoderSettings())).set(ArraySource(np.zeros((0, 1, 8, 8))))) == []
