"""A fit: rows of a manifest become cohorts, cohorts a fitted detector, and all of it a bundle.

    manifest ─► cohorts ─► preprocessing fitted on normals ─► prepared sets ─► detector's stages
                                                                    └─► companions ─► calibration ─► bundle

Only cohorts reach anything that learns: a test row is never read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.bundles.bundle import Bundle
from secondread.cohorts.cohorts import Cohorts
from secondread.cohorts.manifest import Manifest
from secondread.detectors.contract import Detector
from secondread.errors import DataError, UserError
from secondread.fitting.checks.first_look import Look
from secondread.fitting.checks.mixed_parts import refuse_unknown_parts
from secondread.fitting.checks.problem import refuse
from secondread.fitting.checks.room import bytes_of_fit, no_room_for_output
from secondread.fitting.checks.trial import trial
from secondread.fitting.epoch_bundles import epochs_folder, keeps_epochs, refuse_epochs, save_epochs
from secondread.fitting.finished import is_taken, refuse_another_bundle
from secondread.fitting.first_calibration import first_calibration
from secondread.fitting.fit_companions import fit_companions
from secondread.fitting.identity import identity_of, settings_of
from secondread.fitting.learnt_encoder import LearntBefore
from secondread.fitting.map_normals import refuse_empty_maps
from secondread.fitting.planning import LearnsFrom, listed_auxiliary, planned_cohorts
from secondread.fitting.preparing import (
    fitted_preprocessing,
    prepare_cohorts,
    scaling_cohort,
    without_copies,
)
from secondread.fitting.provenance import Seconds, provenance, weight_digests, what_was_seen
from secondread.fitting.unfinished import WORK, Unfinished
from secondread.fitting.watching import watching
from secondread.outputs.whole import remove_folder
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.cache.limit import settle
from secondread.preprocessing.cache.place import open_cache
from secondread.preprocessing.prepared_set import PreparedSet
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.recipes.build import build_detector
from secondread.recipes.completed_encoders import with_completed_encoders
from secondread.recipes.recipe import Recipe
from secondread.scoring.device import choose_device
from secondread.scoring.image_source import ImageSource
from secondread.scoring.kept_encodings import kept_encodings
from secondread.scoring.precision_drift import scoring_precision
from secondread.scoring.processes import process_rank
from secondread.scoring.scorer import Scorer
from secondread.terminal.say import say
from secondread.training.batches.patches import Patches
from secondread.training.log import TrainingLog
from secondread.training.loop import train
from secondread.training.observer import Observer
from secondread.training.one_stage import refuse_other_stages

if TYPE_CHECKING:
    from lightning_fabric.loggers import Logger


@dataclass(frozen=True)
class WholeFit:
    """A fit whose place is held and that passed the first look; the fields are those of `fit`."""

    recipe: Recipe
    manifest: Manifest
    out: Path
    look: Look
    workers: int
    progress: bool
    source: str
    loggers: Sequence[str | Logger] = ()
    processes: int | None = None

    def made(self) -> Bundle:
        """The bundle: that of an earlier run of the same fit, or a new one."""
        place = str(choose_device(self.look.device))
        recipe = with_completed_encoders(self.recipe)
        auxiliary = listed_auxiliary(recipe, workers=self.workers, shown=self.progress)
        identity = identity_of(
            recipe, self.manifest, auxiliary, allow_shared_patients=self.look.allow_shared_patients
        )
        unfinished = Unfinished(self.out, identity, settings_of(recipe))
        if is_taken(self.out) and not self.look.force:
            refuse_another_bundle(unfinished)
            if process_rank() == 0:
                unfinished.clear_if_finished()
            say(f"note: {self.out} is finished already, and is loaded", shown=self.progress)
            return Bundle.load(self.out, device=place)
        detector = build_detector(recipe, source=self.source)
        refuse_epochs(detector, recipe)
        cohorts = planned_cohorts(
            LearnsFrom.of(detector), recipe, self.manifest, auxiliary,
            allow_shared_patients=self.look.allow_shared_patients,
        )  # fmt: skip
        refuse_other_stages(detector, recipe.stages)
        refuse_unknown_parts(recipe, detector, source=self.source)
        refuse(trial(recipe, self.manifest, cohorts, self.look.cache, self.workers))
        refuse(no_room_for_output(unfinished.folder, bytes_of_fit(detector)))
        if process_rank() == 0:
            self._clear_place(unfinished)
            unfinished.begin(force=self.look.force)
        try:
            return self._run(detector, recipe, cohorts, unfinished, place)
        except (UserError, DataError):
            if process_rank() == 0:
                unfinished.clear_if_nothing_done()
            raise

    def _clear_place(self, unfinished: Unfinished) -> None:
        """With `force`: nothing of an earlier bundle stays. Without it, no epochs of another fit."""
        epochs = epochs_folder(self.out)
        if self.look.force:
            remove_folder(self.out)
            remove_folder(epochs)
        elif epochs.exists() and not unfinished.begun and keeps_epochs(self.recipe):
            raise UserError(
                f"{epochs}: there are epochs of another fit already; give --force to replace them, or choose "
                "another -o"
            )

    def _run(
        self, detector: Detector, recipe: Recipe, cohorts: Cohorts, unfinished: Unfinished, place: str
    ) -> Bundle:
        checkpoints, shared = unfinished.folder / WORK, self.look.allow_shared_patients
        learnt = LearntBefore.of(recipe)
        told = () if learnt is None else learnt.notes(recipe)
        self._say("note", (*cohorts.notes, *told))
        seconds, cache = Seconds(), open_cache(self.look.cache)
        with seconds.of("prepare"):
            preprocessing, cohorts, sets = self._prepare(detector, cohorts, cache)
        if learnt is not None:
            learnt.refuse_held_out(cohorts, sets, allow_shared_patients=shared)
        refuse_empty_maps(recipe.maps, sets[scaling_cohort(sets)])
        learn = {name: images for name, images in sets.items() if name != "calibration" and len(images)}
        with watching(self.loggers, recipe, unfinished) as watched:
            with seconds.of("train"):
                log = self._train(detector, learn, checkpoints, cache, watched.observers)
            log.notes += told
            with seconds.of("companions"):
                companions = fit_companions(recipe, learn, sets, cohorts, unfinished.folder, place)
            with seconds.of("calibrate"):
                normals, window = sets[scaling_cohort(sets)], recipe.window
                kept_at = None if window else cache.directory
                asked = recipe.precision if log.precision == "bf16" else log.precision
                with kept_encodings(detector, kept_at):
                    scoring = scoring_precision(detector, asked, normals, device=place, window=window)
                log.notes += scoring.notes
                self._say("note", scoring.notes)
                scorer = Scorer(detector, device=place, precision=scoring.precision, window=window)
                calibrated = partial(
                    first_calibration,
                    recipe.calibration,
                    scorer,
                    sets,
                    cohorts,
                    seed=recipe.seed,
                    processing=recipe.processed_maps,
                )
                with kept_encodings(detector, kept_at):
                    calibration, parts = calibrated()
            bundle = Bundle(
                recipe=recipe,
                preprocessing=preprocessing,
                detector=detector,
                parts=parts,
                calibration=calibration,
                companions=companions,
                provenance=provenance(
                    unfinished.identity,
                    recipe,
                    cohorts,
                    sets,
                    log,
                    seconds,
                    weight_digests(detector),
                    precision=scorer.precision,
                ),
                seen=what_was_seen(cohorts, sets, learnt),
                device=place,
            )
            if process_rank() != 0:
                return bundle
            save_epochs(bundle, self.out, checkpoints, calibrated, shown=self.progress)
            saved = bundle.save(self.out)
            unfinished.clear()
            settle(cache)
            watched.finish(saved)
            return saved

    def _prepare(
        self, detector: Detector, cohorts: Cohorts, cache: Cache
    ) -> tuple[Preprocessing, Cohorts, dict[str, PreparedSet]]:
        """The fitted preprocessing, the cohorts without copies, and their prepared images."""
        manifest, workers, masks = self.manifest, self.workers, detector.learns_from_masks
        preprocessing = fitted_preprocessing(self.recipe, manifest, cohorts, cache, workers, self.progress)
        sets = prepare_cohorts(manifest, cohorts, preprocessing, cache, workers, self.progress, masks=masks)
        told = len(cohorts.notes)
        cohorts = without_copies(cohorts, sets)
        copies = cohorts.notes[told:]
        if copies:
            sets = prepare_cohorts(manifest, cohorts, preprocessing, cache, workers, False, masks=masks)
            self._say("note", copies)
        return preprocessing, cohorts, sets

    def _train(
        self,
        detector: Detector,
        learn: Mapping[str, PreparedSet],
        directory: Path,
        cache: Cache,
        observers: Sequence[Observer],
    ) -> TrainingLog:
        window, size = self.recipe.window, self.recipe.preprocessing.size
        seen: Mapping[str, ImageSource] = learn
        if window is not None:
            seen = {name: Patches(images, window, size, self.recipe.seed) for name, images in learn.items()}
        log = train(
            detector,
            seen,
            self.recipe.stages,
            seed=self.recipe.seed,
            directory=directory,
            device=self.look.device,
            precision=self.recipe.precision,
            resume=True,
            progress=self.progress,
            workers=self.workers,
            cache=cache.directory,
            processes=self.processes,
            observers=observers,
        )
        self._say("note", log.notes)
        self._say("warning", log.warnings)
        return log

    def _say(self, kind: str, lines: Iterable[str]) -> None:
        for line in lines:
            say(f"{kind}: {line}", shown=self.progress)
