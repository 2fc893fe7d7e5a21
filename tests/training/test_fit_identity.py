"""A checkpoint is of one fit: of its images, its masks and its settings."""

import numpy as np
import torch

from secondread import detectors
from secondread.scoring.image_source import ArraySource
from secondread.scoring.one_process import OneProcess
from secondread.training.fit_identity import fit_identity


def identity(learns_from_masks: bool, auxiliary: ArraySource, abnormal: ArraySource) -> dict[str, str]:
    kind = detectors.find("intensity")
    tiny = kind.tiny(2)
    detector = kind(tiny.settings, tiny.channels, tiny.size)
    detector.learns_from_masks = learns_from_masks
    cohorts = {"abnormal": abnormal, "auxiliary": auxiliary}
    return fit_identity(
        detector, cohorts, tiny.stages, 0, "float32", OneProcess(torch.device("cpu"), bf16=False)
    )


def test_other_auxiliary_images_or_other_masks_are_another_fit():
    images = np.random.default_rng(0).random((3, 1, 8, 8))
    one, other = np.zeros((8, 8), bool), np.ones((8, 8), bool)
    textures, outlined = ArraySource(images[:2]), ArraySource(images, masks=[one, None, None])
    now = identity(True, textures, outlined)
    assert now == identity(True, textures, outlined)
    assert now != identity(True, ArraySource(images[1:]), outlined)
    for masks in ([other, None, None], [None, one, None], None):
        changed = ArraySource(images, masks=masks)
        assert now != identity(True, textures, changed)
        assert identity(False, textures, outlined) == identity(False, textures, changed)
