"""The images of one stage: its cohorts, held-out normals, batches, frozen features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from secondread.detectors.contract import Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.errors import UserError
from secondread.scoring.image_source import ImageSource
from secondread.scoring.kept_encodings import kept_encodings
from secondread.training.batches.copies import ChangedCopies
from secondread.training.batches.frozen_features import FrozenFeatures, features_key, frozen_features
from secondread.training.batches.loading import Loader
from secondread.training.batches.patches import Patches
from secondread.training.fit_state import Run
from secondread.training.planning.batch_plan import BatchPlan
from secondread.training.planning.planned_stages import shares_of
from secondread.training.seeds import derive_seed

VALIDATION = "validation"


@dataclass(frozen=True)
class StageData:
    """held_out: normals of the cohort "validation"; None where there are none or nothing is trained.
    features_key: names the files of the frozen features; empty where there are none."""

    plan: BatchPlan
    loader: Loader
    held_out: ImageSource | None
    features_key: str


def stage_data(run: Run, stage: Stage, settings: StageSettings, features_key: str) -> StageData:
    """The stage's images and frozen features. `features_key`: from a checkpoint, or empty."""
    on = shares_of(stage, run.cohorts, run.detector.uses)
    sources = {name: _cohort(run.cohorts, name, stage) for name in on}
    validation = run.cohorts.get(VALIDATION)
    held_out = validation if stage.steps and validation is not None and len(validation) else None
    _refuse_missing_validation(stage, settings, held_out)
    sizes = {name: len(source) for name, source in sources.items()}
    plan = BatchPlan(sizes, on, settings.batch_size, run.seed, stage.name)
    seed = derive_seed(run.seed, stage.name, "augment")
    if stage.steps and settings.copies is not None:
        _refuse_few_copies(stage, settings.copies)
        sources = {
            name: ChangedCopies(
                source,
                settings.augment,
                settings.copies,
                derive_seed(seed, name, "copies"),
                settings.rotation,
            )
            for name, source in sources.items()
        }
    every = dict(sources)
    if held_out is not None:
        every.setdefault(VALIDATION, held_out)
    features, key = _stage_features(run, stage, settings, every, features_key)
    loader = Loader(
        every, run.fabric.device, features, settings.augment, seed, stage.views, settings.rotation,
        masks=run.detector.learns_from_masks,
    )  # fmt: skip
    return StageData(plan, loader, held_out, key)


def _stage_features(
    run: Run,
    stage: Stage,
    settings: StageSettings,
    every: Mapping[str, ImageSource],
    key: str,
) -> tuple[dict[str, FrozenFeatures], str]:
    """The frozen features of the stage's cohorts and held-out normals, and the key of their files."""
    if stage.frozen is None or (settings.augment and settings.copies is None):
        return {}, ""
    if not key:
        digests = [digest for source in every.values() for digest in source.digests]
        key = features_key(stage.name, run.detector, digests, run.precision)
        key = run.fabric.broadcast(key)
    run.detector.eval()

    def advance(images: int) -> None:
        run.stop_between_batches(stage.name)
        run.progress.advance(images)

    found = {}
    for name, source in every.items():
        run.progress.begin(f"{stage.name}: features of {name}", len(source))
        with kept_encodings(run.detector, cache_for(run, source), halved=True) as kept:
            found[name] = frozen_features(
                stage.frozen,
                source,
                run.directory / "features" / f"{key}-{name}",
                run.fabric,
                batch_size=settings.batch_size,
                advance=advance,
                alone=kept is not None,
            )
        run.note_spared(kept)
    return found, key


def cache_for(run: Run, *sources: ImageSource) -> Path | None:
    """Where encodings of these images are kept for other fits; None where these are drawn for this fit."""
    return None if any(isinstance(source, ChangedCopies | Patches) for source in sources) else run.cache


def _cohort(cohorts: Mapping[str, ImageSource], name: str, stage: Stage) -> ImageSource:
    if name not in cohorts:
        raise UserError(f"stage {stage.name!r} needs the cohort {name!r}; there is {', '.join(cohorts)}")
    return cohorts[name]


def _refuse_few_copies(stage: Stage, copies: int) -> None:
    if stage.views > copies + 1:
        raise UserError(
            f"stages.{stage.section}.copies is {copies}, and the stage sees each image in {stage.views} "
            f"views, each another form; set copies to at least {stage.views - 1}"
        )


def _refuse_missing_validation(stage: Stage, settings: StageSettings, held_out: ImageSource | None) -> None:
    if not stage.steps or not (settings.keep == "best" or settings.early_stop):
        return
    if stage.validate is None:
        raise UserError(
            f"stages.{stage.section} chooses its epoch by the loss on held-out normals, and the stage has no "
            "such loss; set keep: last (or synthetic, or unlabelled) and no early_stop"
        )
    if held_out is None:
        raise UserError(
            f"stages.{stage.section} chooses its epoch by the loss on held-out normals, and there are none; "
            "raise cohorts.validation, or set keep: last and no early_stop"
        )
