"""A fit: rows of a manifest become cohorts, cohorts a fitted detector, and all of it a bundle.

    manifest ─► cohorts ─► preprocessing fitted on normals ─► prepared sets ─► detector's stages
                                                                    └─► companions ─► calibration ─► bundle

Only cohorts reach anything that learns: a test row is never read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from secondread.bundles.bundle import Bundle
from secondread.cohorts.arrays.manifest_of_arrays import manifest_of_arrays
from secondread.cohorts.cohorts import Cohorts
from secondread.cohorts.manifest import Manifest, ManifestLike
from secondread.detectors.contract import Detector
from secondread.errors import UserError
from secondread.fitting.epoch_bundles import refuse_epochs, save_epochs
from secondread.fitting.finished import finished_before
from secondread.fitting.first_calibration import first_calibration
from secondread.fitting.fit_companions import fit_companions
from secondread.fitting.identity import identity_of
from secondread.fitting.learnt_encoder import LearntBefore
from secondread.fitting.map_normals import refuse_empty_maps
from secondread.fitting.planning import listed_auxiliary, planned_cohorts
from secondread.fitting.preparing import (
    fitted_preprocessing,
    prepare_cohorts,
    scaling_cohort,
    without_copies,
)
from secondread.fitting.provenance import Seconds, provenance, weight_digests, what_was_seen
from secondread.fitting.unfinished import Unfinished
from secondread.images.workers.cores import available_cores
from secondread.outputs.folders import output_bundle
from secondread.outputs.temporary import TemporaryFolder
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.cache.limit import settle
from secondread.preprocessing.cache.place import open_cache
from secondread.preprocessing.prepared_set import PreparedSet
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.recipes.build import build_detector
from secondread.recipes.completed_encoders import with_completed_encoders
from secondread.recipes.outside_code import allow_code_of
from secondread.recipes.recipe import Recipe
from secondread.scoring.device import choose_device
from secondread.scoring.image_source import ImageSource
from secondread.scoring.processes import process_count, process_rank
from secondread.scoring.scorer import Scorer
from secondread.terminal.interruption import Interrupted
from secondread.terminal.say import say
from secondread.training.batches.patches import Patches
from secondread.training.log import TrainingLog
from secondread.training.loop import train

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Pixels: TypeAlias = NDArray[Any] | Tensor


def fit(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    data: ManifestLike | Pixels | Sequence[Pixels],
    out: str | Path | None = None,
    *,
    labels: Iterable[Any] | None = None,
    patients: Iterable[Any] | None = None,
    spacing: Sequence[float] | None = None,
    resume: bool = False,
    cache: str | Path | Cache | None = None,
    device: str | None = "auto",
    workers: int | None = None,
    seed: int | None = None,
    allow_shared_patients: bool = False,
    progress: bool = True,
    source: str = "recipe",
) -> Bundle:
    """Fit a recipe on a manifest, or on arrays, and save the bundle to `out`.

    recipe   a recipe, a mapping with its sections, a preset's name or a YAML file
    data     a manifest (object, file or DataFrame); or arrays or tensors, `[n, *spatial]` or
             `[n, C, *spatial]`, or a list of single images, whose axes are told by the recipe's size: see
             `manifest_of_arrays`, which writes them into a temporary folder for the fit
    out      the folder of the bundle; without it the fit is made in a temporary folder, which is removed, and
             the bundle stays in memory until its `save` is called
    labels, patients, spacing   of arrays, as `manifest_of_arrays` has them; without labels every array is
             taken for normal
    resume   continue a fit that was stopped; a finished one of the same recipe and data is loaded
    cache    folder of prepared images; none = `default_cache_directory()`
    workers  processes that decode and, where it pays, draw synthetic anomalies ahead of the training steps;
             none = one per core, 0 = this process
    seed     in place of the recipe's
    source   what messages call the recipe, where it is given as an object

    Raises UserError for inputs that a person must change (patients in train and test among them),
    DataError where a cohort cannot be read, `terminal.interruption.Interrupted` on Ctrl-C.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=40, n_abnormal=5)
    >>> bundle = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
    >>> sorted(path.name for path in bundle.path.iterdir())[:2]
    ['bundle.json', 'calibration.safetensors']
    >>> import numpy as np
    >>> films = np.random.default_rng(0).normal(size=(40, 64, 64))
    >>> secondread.fit("spectrum", films, workers=0, progress=False).path is None
    True
    """
    if isinstance(recipe, str | Path):
        source = str(recipe)
    recipe = Recipe.of(recipe)
    manifest = _manifest_of(data, recipe, labels, patients, spacing)
    if manifest is not data:
        for note in manifest.notes:
            say(f"note: {note}", shown=progress and process_rank() == 0)
    if out is None:
        return _in_memory(
            recipe, manifest, cache=cache, device=device, workers=workers, seed=seed,
            allow_shared_patients=allow_shared_patients, progress=progress, source=source,
        )  # fmt: skip
    if cache is None and manifest.kept is not None:
        cache = manifest.kept.path / "cache"
    recipe = recipe if seed is None else recipe.model_copy(update={"seed": seed})
    allow_code_of(recipe)
    recipe = with_completed_encoders(recipe)
    out = Path(out)
    progress = progress and process_rank() == 0
    workers = max(1, available_cores() // process_count()) if workers is None else workers
    auxiliary = listed_auxiliary(recipe, workers=workers, shown=progress)
    identity = identity_of(recipe, manifest, auxiliary, allow_shared_patients=allow_shared_patients)
    with output_bundle(out) if process_rank() == 0 else nullcontext():
        unfinished = Unfinished(out, identity)
        if out.exists():
            return finished_before(unfinished, device, resume=resume)
        under_way = _Fit(
            recipe, manifest, auxiliary, unfinished, resume=resume, cache=cache, device=device,
            workers=workers, allow_shared_patients=allow_shared_patients, progress=progress,
        )  # fmt: skip
        return under_way.run(build_detector(recipe, source=source))


def _manifest_of(
    data: ManifestLike | Pixels | Sequence[Pixels],
    recipe: Recipe,
    labels: Iterable[Any] | None,
    patients: Iterable[Any] | None,
    spacing: Sequence[float] | None,
) -> Manifest:
    """The manifest that was given, or one of the arrays that were. UserError for what goes with arrays alone
    beside a manifest."""
    if isinstance(data, Manifest | str | Path) or hasattr(data, "iterrows"):
        told = {"labels": labels, "patients": patients, "spacing": spacing}
        if beside := [name for name, value in told.items() if value is not None]:
            raise UserError(
                f"{' and '.join(beside)}: go with arrays; a manifest has columns, and files say theirs"
            )
        return Manifest.of(data)
    settings = recipe.preprocessing
    return manifest_of_arrays(
        data, labels, rank=len(settings.size), files=settings.named_files, patients=patients, spacing=spacing
    )


def _in_memory(recipe: Recipe, manifest: Manifest, **how: Any) -> Bundle:
    """A bundle that lies nowhere, of a fit in a temporary folder."""
    folder = TemporaryFolder()
    try:
        fitted = fit(recipe, manifest, folder.path / "bundle", **how)
    except Interrupted:
        raise Interrupted("interrupted; a fit without a folder (out) keeps nothing to go on with") from None
    return replace(fitted, path=None)


@dataclass(frozen=True)
class _Fit:
    """A fit whose place is held; the fields are those of `fit`."""

    recipe: Recipe
    manifest: Manifest
    auxiliary: Manifest | None
    unfinished: Unfinished
    resume: bool
    cache: str | Path | Cache | None
    device: str | None
    workers: int
    allow_shared_patients: bool
    progress: bool

    def run(self, detector: Detector) -> Bundle:
        recipe, out, checkpoints = self.recipe, self.unfinished.out, self.unfinished.folder / "detector"
        refuse_epochs(detector, recipe, out, resume=self.resume)
        cohorts = planned_cohorts(
            detector, recipe, self.manifest, self.auxiliary, allow_shared_patients=self.allow_shared_patients
        )
        learnt = LearntBefore.of(recipe)
        told = () if learnt is None else learnt.notes(recipe)
        self._say("note", (*cohorts.notes, *told))
        if process_rank() == 0:
            self.unfinished.begin(resume=self.resume)
        seconds, cache = Seconds(), open_cache(self.cache)
        with seconds.of("prepare"):
            preprocessing, cohorts, sets = self._prepare(detector, cohorts, cache)
        if learnt is not None:
            learnt.refuse_held_out(cohorts, sets, allow_shared_patients=self.allow_shared_patients)
        refuse_empty_maps(recipe.maps, sets[scaling_cohort(sets)])
        learn = {name: images for name, images in sets.items() if name != "calibration" and len(images)}
        with seconds.of("train"):
            log = self._train(detector, learn, checkpoints)
        log.notes += told
        place = str(choose_device(self.device))
        with seconds.of("companions"):
            companions = fit_companions(recipe, learn, sets, cohorts, self.unfinished.folder, place)
        with seconds.of("calibrate"):
            scorer = Scorer(detector, device=place, precision=log.precision, window=recipe.window)
            calibrated = partial(
                first_calibration,
                recipe.calibration,
                scorer,
                sets,
                cohorts,
                seed=recipe.seed,
                processing=recipe.processed_maps,
            )
            calibration, parts = calibrated()
        bundle = Bundle(
            recipe=recipe,
            preprocessing=preprocessing,
            detector=detector,
            parts=parts,
            calibration=calibration,
            companions=companions,
            provenance=provenance(
                self.unfinished.identity, recipe, cohorts, sets, log, seconds, weight_digests(detector)
            ),
            seen=what_was_seen(cohorts, sets, learnt),
            device=place,
        )
        if process_rank() != 0:
            return bundle
        save_epochs(bundle, out, checkpoints, calibrated, shown=self.progress)
        saved = bundle.save(out)
        self.unfinished.clear()
        settle(cache)
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

    def _train(self, detector: Detector, learn: Mapping[str, PreparedSet], directory: Path) -> TrainingLog:
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
            device=self.device,
            precision=self.recipe.precision,
            resume=self.resume,
            progress=self.progress,
            workers=self.workers,
        )
        self._say("note", log.notes)
        self._say("warning", log.warnings)
        return log

    def _say(self, kind: str, lines: Iterable[str]) -> None:
        for line in lines:
            say(f"{kind}: {line}", shown=self.progress)
