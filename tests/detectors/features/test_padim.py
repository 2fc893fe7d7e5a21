import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.features.padim import PaDiM, PaDiMSettings


def make(pretrained=True, **changes):
    form = PaDiM.tiny(2)
    settings = PaDiMSettings.model_validate({**form.settings.model_dump(), **changes})
    return PaDiM(settings, form.channels, form.size, pretrained=pretrained)


def test_streamed_gaussians_are_those_of_all_features_at_once():
    detector = make()
    images = blobs(30, (32, 32))
    features = detector._features(images).double()
    fit(detector, images, batch_size=7)
    for place in (0, 17, 63):
        f = features[..., place]
        covariance = torch.cov(f.T) + 0.01 * torch.eye(10, dtype=torch.float64)
        torch.testing.assert_close(
            detector.gaussians.mean[place].double(), f.mean(dim=0), atol=1e-5, rtol=1e-4
        )
        whitener = detector.gaussians.whitener[place].double()
        torch.testing.assert_close(whitener.T @ whitener, torch.linalg.inv(covariance), atol=1e-3, rtol=1e-3)


def test_the_map_is_the_mahalanobis_distance():
    detector = make(smoothing=0)
    fit(detector, blobs(30, (32, 32)))
    image = blobs(1, (32, 32), seed=5)
    centred = detector._features(image)[0].T - detector.gaussians.mean
    expected = (detector.gaussians.whitener @ centred[..., None]).norm(dim=1).view(8, 8)
    scores = score(detector, image)
    shown = np.stack([np.interp(range(32), range(0, 32, 4), row) for row in expected])
    shown = np.stack([np.interp(range(32), range(0, 32, 4), row) for row in shown.T]).T
    shown = torch.from_numpy(shown).float()[None, None]
    torch.testing.assert_close(scores.maps["distance"], shown, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        scores.parts["distance"].values, shown.flatten(1).amax(1), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("image_score", ["max", "mean", "top"])
def test_a_score_does_not_depend_on_the_batch(image_score):
    detector = make(image_score=image_score)
    fit(detector, blobs(20, (32, 32)))
    images = blobs(4, (32, 32), seed=3)
    together, alone = score(detector, images), score(detector, images[1:2])
    torch.testing.assert_close(
        together.parts["distance"].values[1:2], alone.parts["distance"].values, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("image_score", ["max", "mean", "top"])
def test_what_lies_in_padding_reaches_neither_score_nor_map(image_score):
    detector = make(image_score=image_score, smoothing=2.0)
    fit(detector, blobs(8, (32, 32)))
    images, valid = blobs(2, (32, 32), seed=3), torch.ones(2, 1, 32, 32, dtype=torch.bool)
    valid[..., 16:] = False
    before = score(detector, images, valid)
    places = detector.gaussians.mean.view(*detector.grid, -1)
    places[:, detector.grid[1] // 2 :] += 1e3
    after = score(detector, images, valid)
    torch.testing.assert_close(after.parts["distance"].values, before.parts["distance"].values)
    torch.testing.assert_close(after.maps["distance"], before.maps["distance"])


def test_a_lesion_raises_the_score():
    detector = make(dimensions=40)
    fit(detector, blobs(60, (32, 32)))
    healthy = score(detector, blobs(8, (32, 32), seed=9)).parts["distance"].values
    ill = score(detector, blobs(8, (32, 32), seed=9, lesion=True)).parts["distance"].values
    assert (ill > healthy).all()


def test_nothing_is_left_of_the_sums_and_the_state_loads_without_weights():
    detector = make()
    fit(detector, blobs(20, (32, 32)))
    state = detector.state_dict()
    assert (
        state["gaussians.second"].numel()
        == state["gaussians.first"].numel()
        == int(state["gaussians.count"])
        == 0
    )
    again = make(pretrained=False).load_fitted(state).eval()
    images = blobs(2, (32, 32), seed=4)
    torch.testing.assert_close(
        score(again, images).parts["distance"].values, score(detector, images).parts["distance"].values
    )


def test_channels_follow_the_seed():
    torch.manual_seed(1)
    first = make()
    torch.manual_seed(1)
    again = make()
    assert torch.equal(first.chosen, again.chosen)
    assert len(first.chosen.unique()) == 10


def test_a_coarser_grid_holds_fewer_gaussians():
    assert make(grid=1).gaussians.mean.shape == (16, 10)
    with pytest.raises(ValueError, match="grid 3"):
        make(grid=3)


def test_squeezenet_at_paper_size_stays_small():
    with torch.device("meta"):
        detector = PaDiM(PaDiMSettings(grid=1), 1, (256, 256), pretrained=False)
    assert detector.gaussians.mean.shape == (31 * 31, 100)
