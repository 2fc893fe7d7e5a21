import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.contract import Batch, ScoringNoise
from secondread.detectors.trivial.intensity import Intensity
from secondread.detectors.trivial.mean_intensity import MeanIntensity
from secondread.detectors.trivial.pixel_1nn import PixelNearestNeighbour, PixelNearestNeighbourSettings
from secondread.detectors.trivial.spectrum import Spectrum, SpectrumSettings

SIZES = {2: (24, 20), 3: (12, 10, 8)}


def make(kind, rank, **changes):
    return kind(type(kind.tiny(rank).settings)(**changes), 1, SIZES[rank])


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("kind", [MeanIntensity, PixelNearestNeighbour, Spectrum])
def test_a_score_does_not_depend_on_the_batch_and_is_finite(kind, rank):
    detector = make(kind, rank)
    fit(detector, blobs(12, SIZES[rank]))
    images = blobs(3, SIZES[rank], seed=4)
    images[1] = 0
    images[2] = 65535
    (name,) = score(detector, images).parts
    together = score(detector, images).parts[name].values
    assert together.isfinite().all()
    for index in range(3):
        alone = score(detector, images[index : index + 1]).parts[name].values
        torch.testing.assert_close(together[index : index + 1], alone)


def test_mean_intensity_leaves_padding_out():
    images = torch.ones(1, 1, 24, 20)
    images[..., 10:] = 0
    valid = images.bool()
    detector = make(MeanIntensity, 2)
    assert float(score(detector, images).parts["intensity"].values) == pytest.approx(0.5)
    assert float(score(detector, images, valid).parts["intensity"].values) == pytest.approx(1.0)


@pytest.mark.parametrize("rank", [2, 3])
def test_nearest_neighbour_of_a_training_image_is_itself(rank):
    detector = make(PixelNearestNeighbour, rank, side=6)
    images = blobs(9, SIZES[rank])
    fit(detector, images, batch_size=4)
    assert len(detector.bank) == 9
    assert float(score(detector, images).parts["distance"].values.max()) < 1e-6
    shifted = score(detector, images + 0.1).parts["distance"].values
    assert (shifted <= 0.1 + 1e-5).all()
    assert (shifted > 0.01).all()


def test_the_bank_stays_within_its_bound_and_samples_all_normals():
    detector = PixelNearestNeighbour(PixelNearestNeighbourSettings(side=1, bank=50), 1, (8, 8))
    values = torch.arange(500.0).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    fit(detector, values, batch_size=16)
    assert detector.bank.shape == (50, 1)
    assert int(detector.seen) == 500
    assert 150 < float(detector.bank.mean()) < 350
    again = PixelNearestNeighbour(PixelNearestNeighbourSettings(side=1, bank=50), 1, (8, 8))
    fit(again, values, batch_size=7)
    assert torch.equal(detector.bank, again.bank)
    loaded = PixelNearestNeighbour(PixelNearestNeighbourSettings(side=1, bank=50), 1, (8, 8))
    assert torch.equal(loaded.load_fitted(detector.state_dict()).bank, detector.bank)


@pytest.mark.parametrize("rank", [2, 3])
def test_spectrum_is_the_mahalanobis_distance_of_log_band_energies(rank):
    detector = make(Spectrum, rank, bands=4)
    normals, image = blobs(40, SIZES[rank]), blobs(1, SIZES[rank], seed=7)

    def energies(x):
        x = x[0].double().numpy()
        power = np.abs(np.fft.fftn(x - x.mean())) ** 2 / x.size
        axes = np.meshgrid(*[np.fft.fftfreq(length) for length in x.shape], indexing="ij")
        band = np.minimum((np.sqrt(sum(a**2 for a in axes)) * 8).astype(int), 3)
        return np.log([power[band == k].mean() + 1e-10 for k in range(4)])

    e = np.stack([energies(x) for x in normals])
    covariance = np.cov(e.T, bias=True)
    covariance += 1e-3 * np.trace(covariance) / 4 * np.eye(4)
    centred = energies(image[0]) - e.mean(axis=0)
    fit(detector, normals)
    assert float(score(detector, image).parts["distance"].values) == pytest.approx(
        float(np.sqrt(centred @ np.linalg.inv(covariance) @ centred)), rel=1e-3
    )


def test_a_smoother_image_has_an_unusual_spectrum():
    detector = Spectrum(SpectrumSettings(bands=6), 1, (24, 20))
    fit(detector, blobs(60, (24, 20)))
    usual = blobs(6, (24, 20), seed=11)
    smooth = torch.nn.functional.avg_pool2d(usual, 3, 1, 1)
    assert (
        score(detector, smooth).parts["distance"].values > score(detector, usual).parts["distance"].values
    ).all()


def test_intensity_lights_up_bright_tissue_and_not_the_bright_rim():
    images = torch.zeros(1, 1, 40, 40)
    images[..., 5:35, 5:35] = 1.0
    images[..., 9:31, 9:31] = 0.3
    plain = images.clone()
    images[..., 18:22, 18:22] = 0.8
    detector = Intensity(Intensity.Settings(erosion=5), 1, (40, 40))
    noise = ScoringNoise([torch.Generator()])
    with_lesion = detector.score(Batch(images), noise, maps=True)
    without = detector.score(Batch(plain), noise, maps=True)
    assert float(with_lesion.parts["intensity"].values) > float(without.parts["intensity"].values)
    assert float(with_lesion.maps["intensity"][..., :9, :].max()) == 0
    assert float(with_lesion.maps["intensity"][0, 0, 20, 20]) == pytest.approx(0.8)
