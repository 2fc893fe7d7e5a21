"""What a teacher that the fit makes learns from: auxiliary images, and normals where there are none."""

from __future__ import annotations

from secondread.detectors.contract import AUXILIARY, Batch, Batches

TEACHER_COHORTS = {AUXILIARY: 1.0, "normal": 0.0}
"""`Stage.on` of the stage in which it learns."""


def teacher_images(batches: Batches) -> Batch:
    """The batch that it learns from."""
    return batches[AUXILIARY] if AUXILIARY in batches else batches["normal"]
