"""What a bundle says of its fit: where everything came from, how long it took, and what was seen."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from secondread.bundles.bundle_document import Provenance
from secondread.bundles.seen import Seen
from secondread.cohorts.cohorts import Cohorts
from secondread.detectors.contract import Detector
from secondread.fitting.learnt_encoder import LearntBefore
from secondread.networks.weights.find import WeightsFile
from secondread.outputs.run_record import now, versions
from secondread.preprocessing.prepared_set import PreparedSet
from secondread.recipes.outside_code import outside_code
from secondread.recipes.recipe import Recipe
from secondread.scoring.device import Precision
from secondread.training.log import TrainingLog


@dataclass
class Seconds:
    """Wall-clock time by part of the fit."""

    spent: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self.spent[part] = round(self.spent.get(part, 0.0) + time.monotonic() - begun, 3)


def provenance(
    identity: Mapping[str, Any],
    recipe: Recipe,
    cohorts: Cohorts,
    sets: Mapping[str, PreparedSet],
    log: TrainingLog,
    seconds: Seconds,
    weights: Mapping[str, str],
    *,
    precision: Precision,
) -> Provenance:
    """identity: see `Unfinished`; precision: of the scores that calibrate (the log has that of training)."""
    known = len(cohorts.normal) - cohorts.taken_for_normal
    lost = {name: len(images.errors) for name, images in sets.items()}
    lost |= {f"{name} masks": len(images.target_errors) for name, images in sets.items()}
    return Provenance(
        created=now(),
        versions=versions(),
        code=outside_code(recipe),
        seed=recipe.seed,
        manifest_digest=identity["manifest"],
        auxiliary_digest=identity.get("auxiliary", ""),
        taken_for_normal=sum(position >= known for position in sets["normal"].positions),
        cohorts={name: len(images) for name, images in sets.items()},
        unreadable={name: count for name, count in lost.items() if count},
        weights=dict(weights),
        training=log.to_json(),
        seconds=seconds.spent,
        device=log.device,
        precision=precision,
        allow_shared_patients=identity["allow_shared_patients"],
        shared_patients=len(cohorts.shared_patients),
    )


def what_was_seen(
    cohorts: Cohorts, sets: Mapping[str, PreparedSet], encoder: LearntBefore | None = None
) -> Seen:
    """By this fit and by the one that learned its encoder."""
    seen = Seen.of(
        {name: images.digests for name, images in sets.items()},
        {name: images.contents for name, images in sets.items()},
        {name: [row.patient_id for row in getattr(cohorts, name)] for name in sets},
        None if encoder is None else encoder.seen.key,
    )
    return seen if encoder is None else encoder.added_to(seen)


def weight_digests(detector: Detector) -> dict[str, str]:
    """Name and SHA-256 of every file that the detector's networks were filled from, however it was found.
    Files of one name and different content have their folder's name before it."""
    files = [getattr(module, "weights_file", None) for module in detector.modules()]
    found: dict[str, str] = {}
    for file in files:
        if isinstance(file, WeightsFile):
            clash = found.get(file.path.name, file.sha256) != file.sha256
            found[f"{file.path.parent.name}/{file.path.name}" if clash else file.path.name] = file.sha256
    return found
