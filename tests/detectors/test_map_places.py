import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.features.feature_subspace import FeatureSubspace
from secondread.detectors.features.padim import PaDiM
from secondread.detectors.features.patchcore import PatchCore
from secondread.detectors.flows.aeflow import AEFlow
from secondread.detectors.flows.aeflow_gmm import AEFlowGMM
from secondread.detectors.reconstruction.ae import AE


def made(kind, size, **changes):
    """The tiny form of a detector, for images of another size."""
    form = kind.tiny(len(size))
    torch.manual_seed(0)
    settings = type(form.settings).model_validate({**form.settings.model_dump(), **changes})
    return kind(settings, form.channels, size).eval()


def centre_of_change(detector, images, before, position, name):
    """Where the map changes from what it was before when a small bright spot is put at `position`, mean over
    images."""
    spotted = images.clone()
    spotted[(slice(None), slice(None), *(slice(at - 1, at + 2) for at in position))] += 0.8
    change = (score(detector, spotted).maps[name] - before).abs()
    shown = change.double().mean(dim=(0, 1)).numpy()
    return np.array([(where * shown).sum() / shown.sum() for where in np.indices(shown.shape)])


@pytest.mark.parametrize(
    ("kind", "size", "name", "changes"),
    [
        (AEFlow, (95, 96), "likelihood", {}),
        (AEFlow, (33, 32, 34), "likelihood", {}),
        (AEFlowGMM, (95, 96), "posterior", {}),
        (PaDiM, (95, 96), "distance", {}),
        pytest.param(PaDiM, (33, 48, 47), "distance", {}, marks=pytest.mark.slow),
        (PaDiM, (95, 96), "distance", {"grid": 1, "image_score": "mean"}),
        (PatchCore, (95, 96), "distance", {"neighbours": 0}),
        (FeatureSubspace, (95, 96), "level_1", {}),
        pytest.param(FeatureSubspace, (33, 48, 47), "level_2", {}, marks=pytest.mark.slow),
        (FeatureSubspace, (95, 96), "level_2", {}),
    ],
)
def test_a_bright_spot_is_drawn_where_it_is(kind, size, name, changes):
    detector = made(kind, size, **changes)
    images = blobs(12, size)
    if not list(detector.stages())[-1].steps:
        fit(detector, images)
    middle = [length // 2 for length in size]
    away, images = [], images[:6]
    before = score(detector, images).maps[name]
    for step in range(-8, 8, 3):
        position = [at + step for at in middle]
        away.append(centre_of_change(detector, images, before, position, name) - position)
    # of cells 16 pixels wide, with weights at random; cells whose corners were aligned were 7 pixels away
    assert np.abs(np.mean(away, axis=0)).max() < 2.5


def test_the_map_of_structural_similarity_is_as_large_as_the_image_and_not_stretched():
    detector = made(AE, (48, 32), loss="ssim")
    images = blobs(2, (48, 32))
    position, before = (10, 20), score(detector, images).maps["reconstruction"]
    away = centre_of_change(detector, images, before, position, "reconstruction") - position
    assert np.abs(away).max() < 2.5
