import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from secondread.detectors.contract import Batch
from secondread.detectors.features.feature_dictionary import FeatureDictionary, FeatureDictionarySettings
from secondread.errors import UserError


def make(size=(32, 32), pretrained=True, **changes):
    form = FeatureDictionary.tiny(2)
    settings = FeatureDictionarySettings.model_validate({**form.settings.model_dump(), **changes})
    return FeatureDictionary(settings, 1, size, pretrained=pretrained)


def patches_of(image, starts, side):
    """In row-major order, `[n, 1, side, side]`."""
    return torch.stack([image[:, r : r + side, c : c + side] for r in starts[0] for c in starts[1]])


def test_the_map_is_the_mean_distance_of_the_patches_over_each_pixel():
    detector = make(size=(40, 35), most=10_000)
    normals, image = blobs(12, (40, 35)), blobs(1, (40, 35), seed=5)
    starts = ([0, 8, 16, 24], [0, 8, 16, 19])
    cut = torch.cat([patches_of(normal, starts, 16) for normal in normals])
    x, x_new = (
        detector._features(patches).double().numpy() for patches in (cut, patches_of(image[0], starts, 16))
    )
    pca = PCA(0.95).fit(x)
    y, y_new = pca.transform(x), pca.transform(x_new)
    centres = KMeans(4, n_init=10, random_state=int(detector.seed)).fit(y).cluster_centers_
    words = y[np.linalg.norm(y[None] - centres[:, None], axis=2).argmin(axis=1)]
    distances = np.sort(np.linalg.norm(y_new[:, None] - words[None], axis=2), axis=1)[:, :2].mean(axis=1)
    total, count = np.zeros((40, 35)), np.zeros((40, 35))
    for value, (r, c) in zip(distances, [(r, c) for r in starts[0] for c in starts[1]], strict=True):
        total[r : r + 16, c : c + 16] += value
        count[r : r + 16, c : c + 16] += 1
    fit(detector, normals, batch_size=12)
    assert detector.words.shape == (4, pca.n_components_)
    scores = score(detector, image)
    expected = total / count
    np.testing.assert_allclose(scores.maps["distance"][0, 0], expected, rtol=1e-3, atol=1e-6)
    assert float(scores.parts["distance"].values) == pytest.approx(expected.max(), rel=1e-3)


def test_features_have_unit_l1_norm():
    features = make()._features(blobs(5, (16, 16)))
    torch.testing.assert_close(features.abs().sum(dim=1), torch.ones(5))


def test_words_are_normal_patches():
    detector = make(most=10_000)
    normals = blobs(10, (32, 32))
    fit(detector, normals)
    cut = detector._cut(normals).flatten(0, 1)
    y = (detector._features(cut) - detector.mean) @ detector.matrix.T
    nearest = torch.cdist(detector.words, y, compute_mode="donot_use_mm_for_euclid_dist").amin(dim=1)
    assert nearest.max() < 1e-6


def test_the_sample_is_bounded_and_comes_from_all_normals():
    detector = make(most=40)
    images = torch.linspace(0, 1, 50).view(-1, 1, 1, 1) * blobs(1, (32, 32))
    detector.generator = torch.Generator().manual_seed(0)
    for part in images.split(8):
        detector.collect({"normal": Batch(part)})
        assert len(detector.sample) <= 40
    every = detector._features(detector._cut(images).flatten(0, 1))
    origin = torch.cdist(detector.sample, every).argmin(dim=1) // 9
    assert len(origin.unique()) > 15
    assert 15 < float(origin.float().mean()) < 35
    detector.finish()
    assert detector.sample.numel() == detector.keys.numel() == 0


def test_padding_is_neither_learned_nor_scored():
    images = blobs(12, (32, 32))
    images[..., 16:] = 0
    valid = torch.zeros(12, 1, 32, 32, dtype=torch.bool)
    valid[..., :16] = True
    detector = make(most=10_000)
    detector.collect({"normal": Batch(images, valid)})
    assert len(detector.sample) == 12 * 6
    detector.finish()
    scores = score(detector, images, valid)
    inside = scores.maps["distance"][..., :16].flatten(1).amax(dim=1)
    torch.testing.assert_close(scores.parts["distance"].values, inside)


@pytest.mark.parametrize("image_score", ["max", "mean"])
def test_a_foreign_texture_raises_the_score_and_the_map_where_it_is(image_score):
    detector = make(size=(48, 48), image_score=image_score, words=20, nearest=1)
    fit(detector, 0.3 * blobs(40, (48, 48)))
    healthy = 0.3 * blobs(8, (48, 48), seed=9)
    ill = healthy.clone()
    ill[..., 16:32:2, 16:32] = 1.0
    before, after = score(detector, healthy), score(detector, ill)
    assert (after.parts["distance"].values > before.parts["distance"].values).all()
    change = (after.maps["distance"] - before.maps["distance"]).mean(dim=(0, 1))
    assert change[20:28, 20:28].mean() > 2 * change.mean()


def test_the_same_seed_fits_the_same_words():
    words = []
    for seed in (1, 1):
        torch.manual_seed(seed)
        detector = make()
        fit(detector, blobs(20, (32, 32)), batch_size=5)
        words.append(detector.words)
    assert torch.equal(*words)


def test_the_state_loads_without_weights():
    detector = make()
    fit(detector, blobs(20, (32, 32)))
    again = make(pretrained=False).load_fitted(detector.state_dict()).eval()
    images = blobs(2, (32, 32), seed=4)
    torch.testing.assert_close(
        score(again, images).parts["distance"].values, score(detector, images).parts["distance"].values
    )


def test_fewer_patches_than_words_are_refused():
    detector = make(words=20)
    with pytest.raises(UserError, match="with 20 words needs at least as many normal patches, and found 18"):
        fit(detector, blobs(2, (32, 32)))


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="nearest is 5: there are only 4 words"):
        make(nearest=5)
    with pytest.raises(ValueError, match="words is 61: at most 60 normal patches are taken"):
        make(words=61)
    with pytest.raises(ValueError, match="would leave gaps"):
        make(stride=17)
    with pytest.raises(ValueError, match="pretrained weights"):
        make(encoder={"name": "conv"})
