import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score
from sklearn.covariance import LedoitWolf

from secondread.detectors.blocks.encoder_settings import EncoderSettings
from secondread.detectors.features.mahalanobis import Mahalanobis, MahalanobisSettings, moments_and_shrinkage
from secondread.errors import UserError


def make(size=(16, 16), **settings):
    return Mahalanobis(MahalanobisSettings(**{"of": "pixels", "side": 8, **settings}), 1, size)


def thumbnails(images):
    return torch.nn.functional.avg_pool2d(images, 2).flatten(1).double().numpy()


@pytest.mark.parametrize("n", [5, 40, 1000])
def test_streamed_shrinkage_is_that_of_scikit_learn(n):
    x = np.random.default_rng(0).standard_normal((n, 6)) * np.arange(1, 7) + 3
    rows = np.concatenate((np.ones((n, 1)), (x**2).sum(axis=1, keepdims=True), x), axis=1)
    mean, covariance, shrinkage = moments_and_shrinkage(torch.from_numpy(rows.T @ rows))
    reference = LedoitWolf().fit(x)
    np.testing.assert_allclose(mean, reference.location_, rtol=1e-9)
    np.testing.assert_allclose(covariance, np.cov(x.T, bias=True), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(shrinkage, reference.shrinkage_, rtol=1e-7)


def test_the_score_is_the_mahalanobis_distance_under_the_shrunk_covariance():
    detector = make()
    normals, new = blobs(50, (16, 16)) + 5, blobs(4, (16, 16), seed=1) + 5
    fit(detector, normals, batch_size=7)
    expected = np.sqrt(LedoitWolf().fit(thumbnails(normals)).mahalanobis(thumbnails(new)))
    np.testing.assert_allclose(score(detector, new).parts["distance"].values, expected, rtol=1e-3)
    assert detector.sums is None


def test_the_components_of_least_variance_hold_at_most_the_share_asked_for():
    detector, normals, new = make(least_variance=0.1), blobs(50, (16, 16)), blobs(4, (16, 16), seed=1)
    fit(detector, normals)
    model = LedoitWolf().fit(thumbnails(normals))
    variances, components = np.linalg.eigh(np.cov(thumbnails(normals).T, bias=True))
    share = variances.cumsum() / variances.sum()
    kept = (variances > 1e-9 * variances[-1]) & (share <= 0.1)
    assert 0 < kept.sum() < 49
    assert detector.whitener.shape == (kept.sum(), 64)
    components = components[:, kept]
    spread = np.sqrt(np.diag(components.T @ model.covariance_ @ components))
    along = (thumbnails(new) - model.location_) @ components / spread
    found = score(detector, new).parts["distance"].values
    np.testing.assert_allclose(found, np.linalg.norm(along, axis=1), rtol=1e-3)
    again = make(least_variance=0.1).load_fitted(detector.state_dict())
    assert torch.equal(score(again, new).parts["distance"].values, found)


def test_directions_in_which_few_normals_do_not_vary_are_no_components():
    detector, normals = make(least_variance=0.1), blobs(20, (16, 16))
    fit(detector, normals)
    x = thumbnails(normals)
    along = (x - x.mean(axis=0)) @ detector.whitener.double().numpy().T
    assert 0 < len(detector.whitener) < 19
    assert (along.std(axis=0) > 0.01).all()


def test_normals_that_are_all_alike_give_finite_scores():
    detector = make()
    fit(detector, torch.full((6, 1, 16, 16), 0.5))
    assert score(detector, blobs(3, (16, 16))).parts["distance"].values.isfinite().all()


def test_one_normal_is_refused():
    with pytest.raises(UserError, match="at least two normal"):
        fit(make(), blobs(1, (16, 16)))


def test_features_find_a_lesion():
    torch.manual_seed(0)
    encoder = EncoderSettings(name="resnet18", weights="random")
    detector = make((32, 32), of="features", side=None, encoder=encoder)
    fit(detector, blobs(60, (32, 32)))
    healthy = score(detector, blobs(8, (32, 32), seed=9)).parts["distance"].values
    ill = score(detector, blobs(8, (32, 32), seed=9, lesion=True)).parts["distance"].values
    assert (ill > healthy).all()
