"""Whether a checkpoint is of this fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.detectors.contract import Detector
from secondread.detectors.detector_settings import StageSettings
from secondread.errors import UserError
from secondread.scoring.device import Precision
from secondread.scoring.image_source import ImageSource

if TYPE_CHECKING:
    from secondread.scoring.one_process import Processes


def fit_identity(
    detector: Detector,
    cohorts: Mapping[str, ImageSource],
    stages: Mapping[str, StageSettings],
    seed: int,
    precision: Precision,
    fabric: Processes,
) -> dict[str, str]:
    """What must be the same for a checkpoint to be this fit's."""
    found = {
        "detector": f"{detector.settings.model_dump_json()} {detector.channels} {detector.size}",
        "seed": str(seed),
        "precision": precision,
        "device": fabric.device.type,
        "processes": str(fabric.world_size),
    }
    found["names of stages"] = " ".join(stage.name for stage in detector.stages())
    for name, settings in stages.items():
        found[f"stages.{name}"] = settings.model_dump_json()
    for name, source in cohorts.items():
        found[f"cohort {name}"] = _together(source.digests)
        if detector.learns_from_masks and any(source.target_digests):
            found[f"masks of cohort {name}"] = _together(source.target_digests)
    return found


def _together(digests: Sequence[str]) -> str:
    return blake2b("\n".join(digests).encode(), digest_size=16).hexdigest()


def refuse_another_fit(now: Mapping[str, str], then: Mapping[str, str], directory: Path) -> None:
    different = sorted(key for key in {*now, *then} if now.get(key) != then.get(key))
    if different:
        raise UserError(
            f"{directory}: the checkpoint there is of another fit (different: {', '.join(different)}); "
            "give the command as it was, or --force to start anew"
        )
