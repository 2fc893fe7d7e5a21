import pytest
import torch
from in_memory import blobs, fit, score
from torch.nn import functional

from secondread.detectors.contract import Batch
from secondread.detectors.features.patch_mixture import PatchMixture, PatchMixtureSettings
from secondread.errors import UserError
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (32, 32)


def make(**changes):
    form = PatchMixture.tiny(2)
    settings = PatchMixtureSettings.model_validate({**form.settings.model_dump(), **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PatchMixture(settings, form.channels, form.size)


@pytest.mark.parametrize("distance", ["cosine", "density", "mahalanobis"])
def test_the_map_is_the_distance_of_patches_to_the_mixture(distance):
    detector = make(distance=distance, smoothing=0, image_score="mean")
    fit(detector, blobs(12, SIZE))
    images = blobs(2, SIZE, seed=3)
    x = functional.normalize(detector.tokens(Batch(images)).flatten(0, 1) @ detector.directions.T, dim=1)
    mixture = detector.patches_of_normals
    kept = mixture.kept
    logs, squares = mixture.log_parts(x)[:, kept], mixture.squared_distances(x)[:, kept]
    expected = {
        "cosine": 1 - (x @ functional.normalize(mixture.mean[kept], dim=1).T).amax(dim=1),
        "density": -logs.logsumexp(dim=1),
        "mahalanobis": squares.amin(dim=1).sqrt(),
    }[distance].view(2, -1)
    found = score(detector, images)
    torch.testing.assert_close(found.parts["distance"].values, expected.mean(dim=1), atol=1e-4, rtol=1e-4)
    shown = detector.tokens.maps.place(expected.view(2, 1, *detector.tokens.grid), 0)
    torch.testing.assert_close(found.maps["distance"], shown, atol=1e-4, rtol=1e-4)


def test_the_projection_is_of_the_largest_eigenvectors_of_the_patches_products():
    detector, images = make(), blobs(12, SIZE)
    fit(detector, images)
    rows = detector.tokens(Batch(images)).flatten(0, 1).double()
    torch.testing.assert_close(detector.directions @ detector.directions.T, torch.eye(8), atol=1e-4, rtol=0)
    held = (rows @ detector.directions.double().T).square().sum()
    best = torch.linalg.eigvalsh(rows.T @ rows)[-8:].sum()
    torch.testing.assert_close(held, best, rtol=1e-3, atol=0)
    with pytest.raises(ValueError, match="projection: 9999 directions, and patches have"):
        make(projection=9999)


def test_a_lesion_raises_the_score_and_what_the_fit_kept_is_forgotten():
    own = {"components": 20, "form": "diagonal", "features": {"standardise": "channel"}}
    detector = make(projection=None, passes=10, top_share=0.02, **own)
    fit(detector, blobs(40, SIZE))
    assert (len(detector.sample), len(detector.there), detector.seen) == (0, 0, 0)
    healthy = score(detector, blobs(8, SIZE, seed=9)).parts["distance"].values
    ill = score(detector, blobs(8, SIZE, seed=9, lesion=True)).parts["distance"].values
    assert (ill > healthy).float().mean() > 0.7
    assert "of 20 components; -log density fell from" in detector.notes()[0]
    assert detector.nats[-1] < detector.nats[0]


def test_fewer_patches_than_components_are_one_line():
    with pytest.raises(UserError, match=r"begins 9000 components .* lower detector.components or raise"):
        fit(make(components=9000), blobs(4, SIZE))


def test_the_paper_preset_has_the_papers_mixture():
    with torch.device("meta"):
        detector = build_detector(Recipe.load("patch-mixture-paper"), pretrained=False)
    mixture = detector.patches_of_normals
    assert detector.tokens.grid == (32, 32)
    assert mixture.spread.shape == (500, 384, 384)
    assert (mixture.regularisation, mixture.rate) == (1e-3, 0.2)
    assert (detector.settings.passes, detector.settings.together) == (40, 12)
