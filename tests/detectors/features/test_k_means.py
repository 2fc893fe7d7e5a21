import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score
from sklearn.cluster import KMeans as Clustering

from secondread.detectors.blocks.encoder_settings import EncoderSettings
from secondread.detectors.contract import Batch
from secondread.detectors.features.k_means import KMeans, KMeansSettings
from secondread.errors import UserError

FORMS = {
    "2-D pixels": ({"of": "pixels", "side": 8}, (16, 16)),
    "3-D pixels": ({"of": "pixels", "side": 4}, (8, 8, 8)),
    "features": ({"encoder": EncoderSettings(name="resnet18", weights="random")}, (32, 32)),
}


def make(form="2-D pixels", **changes):
    settings, size = FORMS[form]
    return KMeans(KMeansSettings(**settings, **changes), 1, size), size


def values_of(detector, images):
    return score(detector, images).parts["distance"].values


@pytest.mark.parametrize("form", FORMS)
def test_the_score_is_the_distance_to_the_nearest_centre_of_scikit_learn(form):
    detector, size = make(form, k=4)
    normals, new = blobs(60, size), blobs(5, size, seed=3)
    x, x_new = (detector.represent.of(Batch(images)).double().numpy() for images in (normals, new))
    expected = Clustering(4, n_init=10, random_state=int(detector.seed)).fit(x)
    fit(detector, normals, batch_size=7)
    np.testing.assert_allclose(values_of(detector, new), expected.transform(x_new).min(axis=1), rtol=1e-4)


def test_coordinates_of_any_scale_count_alike_where_standardised():
    images = blobs(40, (16, 16))
    stretched = images.clone()
    stretched[..., :8] *= 100
    scores = []
    for normals in (images, stretched):
        torch.manual_seed(3)
        detector, _ = make(k=3, standardise=True)
        fit(detector, normals)
        scores.append(values_of(detector, normals).argsort())
        assert float(detector.scale.max() / detector.scale.min()) > 1
    detector, _ = make(k=3)
    fit(detector, images)
    assert torch.equal(detector.scale, torch.ones_like(detector.scale))


def test_one_seed_gives_one_result_and_another_draws_anew():
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        detector, size = make(k=8)
        fit(detector, blobs(60, size))
        results.append((int(detector.seed), detector.centres))
    assert results[0][0] == results[1][0] != results[2][0]
    assert torch.equal(results[0][1], results[1][1])


def test_a_lesion_raises_the_score():
    detector, size = make(k=5)
    fit(detector, blobs(80, size))
    healthy, ill = (values_of(detector, blobs(8, size, seed=9, lesion=lesion)) for lesion in (False, True))
    assert float((ill > healthy).float().mean()) >= 0.75


def test_the_normals_that_it_is_fitted_on_are_bounded_and_let_go():
    detector, size = make(k=20, most=20)
    normals = blobs(70, size)
    fit(detector, normals, batch_size=16)
    assert detector.seen == 70
    assert int((values_of(detector, normals) < 1e-4).sum()) == 20
    assert detector.sample.numel() == 0


def test_more_centres_than_normals_are_taken_are_refused():
    with pytest.raises(ValueError, match="k is 21: at most 20 normals are taken"):
        make(k=21, most=20)


def test_fewer_normals_than_centres_are_refused():
    detector, size = make(k=9)
    with pytest.raises(
        UserError, match="k-means with k = 9 needs at least as many normal images, and found 8"
    ):
        fit(detector, blobs(8, size))
