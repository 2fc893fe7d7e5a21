import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score
from scipy.spatial.distance import cdist

from secondread.detectors.blocks.encoder_settings import EncoderSettings
from secondread.detectors.features.k_nn import KNearestNeighbours, KNearestNeighboursSettings
from secondread.errors import UserError


def make(size=(16, 16), **settings):
    return KNearestNeighbours(KNearestNeighboursSettings(**{"of": "pixels", "side": 8, **settings}), 1, size)


def thumbnails(images):
    return torch.nn.functional.avg_pool2d(images, 2).flatten(1).double().numpy()


@pytest.mark.parametrize("distance", ["mean", "kth"])
@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("normalise", [False, True])
def test_the_score_is_the_distance_to_the_nearest_normals(distance, standardise, normalise):
    detector = make(k=3, distance=distance, standardise=standardise, normalise=normalise)
    normals, new = blobs(20, (16, 16)), blobs(4, (16, 16), seed=1)
    fit(detector, normals, batch_size=7)
    x, y = thumbnails(normals), thumbnails(new)
    if standardise:
        mean, deviation = x.mean(axis=0), x.std(axis=0)
        scale = deviation + 0.05 * np.sqrt((deviation**2).mean())
        x, y = (x - mean) / scale, (y - mean) / scale
    if normalise:
        x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
    three = np.sort(cdist(y, x), axis=1)[:, :3]
    expected = three.mean(axis=1) if distance == "mean" else three[:, 2]
    np.testing.assert_allclose(score(detector, new).parts["distance"].values, expected, rtol=1e-4)


def test_the_bank_is_a_bounded_sample_whatever_the_batches():
    first, again = make(side=1, bank=50, k=2), make(side=1, bank=50, k=2)
    values = torch.arange(500.0).view(-1, 1, 1, 1).expand(-1, 1, 16, 16)
    fit(first, values, batch_size=16)
    fit(again, values, batch_size=7)
    assert first.bank.shape == (50, 1)
    assert int(first.seen) == 500
    assert torch.equal(first.bank, again.bank)
    assert 150 < float(first.bank.mean()) < 350


def test_fewer_normals_than_neighbours_are_refused():
    with pytest.raises(UserError, match=r"k = 5 needs at least as many normal images, .* holds 4"):
        fit(make(k=5), blobs(4, (16, 16)))


def test_more_neighbours_than_the_bank_may_hold_are_refused():
    with pytest.raises(ValueError, match="k is 6: the bank holds at most 5 normals"):
        make(k=6, bank=5)


def test_features_find_a_lesion():
    torch.manual_seed(0)
    encoder = EncoderSettings(name="resnet18", weights="random")
    detector = make((32, 32), of="features", side=None, encoder=encoder, standardise=True)
    fit(detector, blobs(60, (32, 32)))
    healthy = score(detector, blobs(8, (32, 32), seed=9)).parts["distance"].values
    ill = score(detector, blobs(8, (32, 32), seed=9, lesion=True)).parts["distance"].values
    assert (ill > healthy).all()
