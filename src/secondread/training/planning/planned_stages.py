"""How long a fit's stages will be, from numbers of images alone: for a plan, and for the time left."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from secondread.detectors.contract import Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.training.planning.batch_plan import BatchPlan
from secondread.training.planning.stage_length import Length


@dataclass(frozen=True)
class PlannedStage:
    """epochs, steps  0 where nothing is trained
    batch          images of one step
    images         of all the stage's cohorts, which a pass takes"""

    name: str
    epochs: int
    steps: int
    batch: int
    images: int

    @property
    def work(self) -> int:
        """Images that go through, as a measure of how long it takes beside the other stages."""
        return max(self.steps * self.batch, self.images)


def planned_stages(
    stages: Iterable[Stage],
    settings: Mapping[str, StageSettings],
    sizes: Mapping[str, int],
    uses: Collection[str],
) -> list[PlannedStage]:
    """The stages in order. `sizes`: images by cohort; `uses`: cohorts that the detector can do without."""
    found = []
    for stage in stages:
        own = settings.get(stage.section, StageSettings())
        on = shares_of(stage, [name for name, size in sizes.items() if size], uses)
        held = {name: sizes.get(name, 0) for name in on}
        images = sum(held.values())
        if not on or not all(held.values()):
            found.append(PlannedStage(stage.name, 0, 0, own.batch_size, images))
            continue
        plan = BatchPlan(held, on, own.batch_size, 0, stage.name)
        if not stage.steps or (own.epochs is None and own.steps is None):
            found.append(PlannedStage(stage.name, 0, 0, own.batch_size, images))
            continue
        length = Length.of(stage, own, plan.batches_per_epoch)
        batch = own.batch_size * length.batches_per_round
        found.append(PlannedStage(stage.name, length.epochs, length.rounds, batch, images))
    return found


def shares_of(stage: Stage, there: Collection[str], uses: Collection[str]) -> dict[str, float | None]:
    """The stage's cohorts and their shares of a batch, without those that the detector uses where there are
    any, and there are none; the others then share the batch as they did. A cohort whose share is 0 is there
    only where no other is."""
    present = {name: share for name, share in stage.on.items() if name in there or name not in uses}
    if any(share != 0 for share in present.values()):
        present = {name: share for name, share in present.items() if share != 0}
    else:
        present = dict.fromkeys(present, 1.0)
    total = sum(share or 0.0 for share in present.values())
    if len(present) == len(stage.on) or not total:
        return present
    return {name: share and share / total for name, share in present.items()}
