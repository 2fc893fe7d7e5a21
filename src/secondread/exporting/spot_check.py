"""A graph compared with torch when it is written, on images like those that the bundle was fitted on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondread.bundles.bundle import Bundle
from secondread.detectors.blocks.representation import THUMBNAIL
from secondread.exporting.agreement import Agreement, agreement
from secondread.exporting.export_document import GraphForm
from secondread.exporting.graph_scores import GraphScores
from secondread.preprocessing.resample import resize

IMAGES = 4
GRAIN = 0.05
"""Of the thumbnails' spread: they lack what is finer than their pixels."""


def images_to_check(bundle: Bundle) -> NDArray[np.float32]:
    """float32 `[n, C, *size]`: thumbnails of normals, which pixel 1-NN keeps, enlarged and with grain; grain
    alone where it keeps none."""
    channels, size = bundle.recipe.preprocessing.channels, bundle.recipe.preprocessing.size
    rng = np.random.default_rng(0)
    kept = bundle.companions.detectors.get("pixel-1nn")
    bank = np.zeros((0, 1), np.float32) if kept is None else np.asarray(kept.bank.cpu())
    side = [min(THUMBNAIL[len(size)], length) for length in size]
    if len(bank):
        small = bank[np.linspace(0, len(bank) - 1, IMAGES).astype(int)].reshape(IMAGES, channels, *side)
        images = resize(small, size)
    else:
        images = np.full((IMAGES, channels, *size), 0.5, np.float32)
    grain = GRAIN * max(float(images.std()), 0.1)
    return (images + rng.normal(0, grain, images.shape)).astype(np.float32)


def agreement_with_torch(bundle: Bundle, file: Path, form: GraphForm) -> Agreement:
    """How far the graph's scores lie from torch's on such images, both in float32. Raises DataError as
    `agreement` does."""
    graph = GraphScores(file, form, window=bundle.recipe.window, processing=bundle.calibration.processing)
    images = images_to_check(bundle)
    digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    by_torch = bundle.scorer_in("float32").batch
    return agreement(by_torch, graph.batch, bundle.calibration, images, None, digests)
