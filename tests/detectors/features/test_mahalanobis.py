import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score
from sklearn.covariance import LedoitWolf

from secondread.bundles.fitted import plan_fitted
from secondread.bundles.tensors import form_of
from secondread.detectors.blocks.encoder_settings import EncoderSettings
from secondread.detectors.features.mahalanobis import Mahalanobis, MahalanobisSettings
from secondread.errors import UserError


def make(size=(16, 16), **settings):
    return Mahalanobis(MahalanobisSettings(**{"of": "pixels", "side": 8, **settings}), 1, size)


def thumbnails(images):
    return torch.nn.functional.avg_pool2d(images, 2).flatten(1).double().numpy()


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


def test_the_components_of_most_variance_are_the_fewest_that_hold_the_share_asked_for():
    detector, normals, new = make(most_variance=0.9), blobs(50, (16, 16)), blobs(4, (16, 16), seed=1)
    fit(detector, normals)
    model = LedoitWolf().fit(thumbnails(normals))
    variances, components = np.linalg.eigh(np.cov(thumbnails(normals).T, bias=True))
    held = variances[::-1].cumsum() / variances.sum()
    kept = 1 + int((held < 0.9).sum())
    assert held[kept - 2] < 0.9 <= held[kept - 1]
    components = components[:, ::-1][:, :kept]
    spread = np.sqrt(np.diag(components.T @ model.covariance_ @ components))
    along = (thumbnails(new) - model.location_) @ components / spread
    found = score(detector, new).parts["distance"].values
    np.testing.assert_allclose(found, np.linalg.norm(along, axis=1), rtol=1e-3)


@pytest.mark.parametrize("kept", [{"least_variance": 0.1}, {"most_variance": 0.9}])
def test_a_bundle_with_some_components_is_taken_for_its_own(kept):
    detector = make(**kept)
    fit(detector, blobs(50, (16, 16)))
    forms = {name: form_of(tensor) for name, tensor in detector.state_dict().items()}
    plan_fitted(lambda: make(**kept), forms)


def test_components_of_both_ends_are_refused():
    with pytest.raises(ValueError, match="opposite components; set one of them"):
        make(least_variance=0.1, most_variance=0.9)


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
