"""A fit: rows of a manifest become cohorts, cohorts a fitted detector, and all of it a bundle.

    manifest ─► cohorts ─► preprocessing fitted on normals ─► prepared sets ─► detector's stages
                                                                    └─► companions ─► calibration ─► bundle

Only cohorts reach anything that learns: a test row is never read.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondread.bundles.bundle import Bundle, read_document, without_places
from secondread.bundles.bundle_document import Provenance
from secondread.bundles.companions import Companions, build_companion, takes
from secondread.bundles.seen import Seen
from secondread.calibration.calibration import Calibration
from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.cohorts.cohorts import Cohorts
from secondread.cohorts.manifest import Manifest, ManifestLike
from secondread.detectors.contract import Detector
from secondread.detectors.trivial import BASELINES
from secondread.errors import UserError
from secondread.fitting.epoch_bundles import refuse_epochs, save_epochs
from secondread.fitting.planning import listed_auxiliary, planned_cohorts
from secondread.fitting.preparing import (
    HELD_OUT,
    fitted_preprocessing,
    prepare_cohorts,
    without_copies,
)
from secondread.fitting.unfinished import Unfinished
from secondread.images.workers.cores import available_cores
from secondread.networks.weights import WeightsFile
from secondread.outputs.folders import output_bundle
from secondread.outputs.run_record import now, versions
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.cache.limit import settle
from secondread.preprocessing.cache.place import open_cache
from secondread.preprocessing.prepared_set import PreparedSet
from secondread.recipes.build import build_detector
from secondread.recipes.outside_code import allow_code_of, outside_code
from secondread.recipes.recipe import Recipe
from secondread.scoring.device import choose_device, process_count, process_rank
from secondread.scoring.scorer import Scorer
from secondread.terminal.say import say
from secondread.training.log import TrainingLog
from secondread.training.loop import train


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


def fit(
    recipe: Recipe | str | Path,
    manifest: ManifestLike,
    out: str | Path,
    *,
    resume: bool = False,
    cache: str | Path | Cache | None = None,
    device: str | None = "auto",
    workers: int | None = None,
    seed: int | None = None,
    allow_shared_patients: bool = False,
    progress: bool = True,
    source: str = "recipe",
) -> Bundle:
    """Fit a recipe on a manifest and save the bundle to `out`.

    resume   continue a fit that was stopped; a finished one of the same recipe and data is loaded
    cache    folder of prepared images; none = `default_cache_directory()`
    workers  processes that decode; none = one per core, 0 = this process
    seed     in place of the recipe's
    source   what messages call the recipe, where it is given as an object

    Raises UserError for inputs that a person must change (patients in train and test among them),
    DataError where a cohort cannot be read, `terminal.interruption.Interrupted` on Ctrl-C.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=40, n_abnormal=5)
    >>> bundle = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
    >>> sorted(path.name for path in bundle.path.iterdir())[:2]
    ['bundle.json', 'calibration.safetensors']
    """
    if not isinstance(recipe, Recipe):
        source, recipe = str(recipe), Recipe.load(recipe)
    if not isinstance(manifest, Manifest):
        manifest = Manifest.of(manifest)
        for note in manifest.notes:
            say(f"note: {note}", shown=progress and process_rank() == 0)
    recipe = recipe if seed is None else recipe.model_copy(update={"seed": seed})
    allow_code_of(recipe)
    out = Path(out)
    progress = progress and process_rank() == 0
    workers = max(1, available_cores() // process_count()) if workers is None else workers
    auxiliary = listed_auxiliary(recipe, workers=workers, shown=progress)
    identity = {
        "recipe": digest_of(without_places(recipe.model_dump(mode="json"))),
        "manifest": manifest.digest,
        "seed": recipe.seed,
        "allow_shared_patients": allow_shared_patients,
    }
    if auxiliary is not None:
        identity["auxiliary"] = auxiliary.digest
    with output_bundle(out) if process_rank() == 0 else nullcontext():
        unfinished = Unfinished(out, identity)
        if out.exists():
            return finished_before(unfinished, device, resume=resume)
        return _fit(
            recipe, manifest, auxiliary, unfinished,
            resume=resume, cache=cache, device=device, workers=workers,
            allow_shared_patients=allow_shared_patients, progress=progress, source=source,
        )  # fmt: skip


def _fit(
    recipe: Recipe,
    manifest: Manifest,
    auxiliary: Manifest | None,
    unfinished: Unfinished,
    *,
    resume: bool,
    cache: str | Path | Cache | None,
    device: str | None,
    workers: int,
    allow_shared_patients: bool,
    progress: bool,
    source: str,
) -> Bundle:
    """The fit itself; its place is held."""
    out, seconds = unfinished.out, Seconds()
    detector = build_detector(recipe, source=source)
    refuse_epochs(detector, recipe, out, resume=resume)
    cohorts = planned_cohorts(
        detector, recipe, manifest, auxiliary, allow_shared_patients=allow_shared_patients
    )
    for note in cohorts.notes:
        say(f"note: {note}", shown=progress)
    if process_rank() == 0:
        unfinished.begin(resume=resume)
    kept = open_cache(cache)

    with seconds.of("prepare"):
        preprocessing = fitted_preprocessing(recipe, manifest, cohorts, kept, workers, progress)
        masks = detector.learns_from_masks
        sets = prepare_cohorts(manifest, cohorts, preprocessing, kept, workers, progress, masks=masks)
        told = len(cohorts.notes)
        cohorts = without_copies(cohorts, sets)
        copies = cohorts.notes[told:]
        if copies:
            sets = prepare_cohorts(manifest, cohorts, preprocessing, kept, workers, False, masks=masks)
            for note in copies:
                say(f"note: {note}", shown=progress)
    learn = {name: images for name, images in sets.items() if name != "calibration" and len(images)}
    with seconds.of("train"):
        log = train(
            detector,
            learn,
            recipe.stages,
            seed=recipe.seed,
            directory=unfinished.folder / "detector",
            device=device,
            precision=recipe.precision,
            resume=resume,
            progress=progress,
        )
    for note in log.notes:
        say(f"note: {note}", shown=progress)
    for warning in log.warnings:
        say(f"warning: {warning}", shown=progress)
    place = str(choose_device(device))
    with seconds.of("companions"):
        companions = fit_companions(recipe, learn, sets, cohorts, unfinished.folder, place)
    with seconds.of("calibrate"):
        scorer = Scorer(detector, device=place, precision=log.precision)
        calibration, parts = first_calibration(recipe, scorer, sets, cohorts)
    bundle = Bundle(
        recipe=recipe,
        preprocessing=preprocessing,
        detector=detector,
        parts=parts,
        calibration=calibration,
        companions=companions,
        provenance=provenance(
            unfinished.identity, recipe, cohorts, sets, log, seconds, weight_digests(detector)
        ),
        seen=what_was_seen(cohorts, sets),
        device=place,
    )
    if process_rank() != 0:
        return bundle
    save_epochs(
        bundle, out, unfinished.folder / "detector",
        lambda: first_calibration(recipe, scorer, sets, cohorts), shown=progress,
    )  # fmt: skip
    saved = bundle.save(out)
    unfinished.clear()
    settle(kept)
    return saved


def finished_before(unfinished: Unfinished, device: str | None, *, resume: bool) -> Bundle:
    """The bundle that an earlier run of the same fit left; UserError where it is another's."""
    out = unfinished.out
    document, _ = read_document(out)
    earlier = {
        "recipe": digest_of(document.recipe),
        "manifest": document.provenance.manifest_digest,
        "seed": document.provenance.seed,
        "allow_shared_patients": document.provenance.allow_shared_patients,
    }
    if document.provenance.auxiliary_digest:
        earlier["auxiliary"] = document.provenance.auxiliary_digest
    if earlier == unfinished.identity and process_rank() == 0:
        unfinished.clear_if_finished()
    if not resume:
        raise UserError(f"{out}: there is a bundle already; remove it or choose another place with -o")
    for name, value in unfinished.identity.items():
        if earlier.get(name) != value:
            raise UserError(f"{out}: a finished bundle of another {name}; choose another place with -o")
    return Bundle.load(out, device=str(choose_device(device)))


def fit_companions(
    recipe: Recipe,
    learn: Mapping[str, PreparedSet],
    sets: Mapping[str, PreparedSet],
    cohorts: Cohorts,
    folder: Path,
    device: str,
) -> Companions:
    """The trivial baselines that take this rank, fitted and calibrated on the same images."""
    channels, size = recipe.preprocessing.channels, recipe.preprocessing.size
    detectors: dict[str, Detector] = {}
    calibrations: dict[str, Calibration] = {}
    settings = CalibrationSettings(false_alarm_rate=recipe.calibration.false_alarm_rate)
    for name in BASELINES:
        if not takes(name, size):
            continue
        detector = build_companion(name, channels, size)
        train(
            detector,
            {"normal": learn["normal"]},
            {},
            seed=recipe.seed,
            directory=folder / name,
            device=device,
            precision="float32",
            progress=False,
        )
        detectors[name] = detector
        scorer = Scorer(detector, device=device, precision="float32")
        scored = {
            cohort: scorer.gather(
                sets[cohort], getattr(cohorts, cohort), settings, seed=recipe.seed, maps=False
            )
            for cohort in HELD_OUT
        }
        calibrations[name] = Calibration.fit(
            scored["validation"], scored["calibration"], mixture=detector.mixture(), settings=settings
        )
    return Companions(detectors, calibrations)


def first_calibration(
    recipe: Recipe, scorer: Scorer, sets: Mapping[str, PreparedSet], cohorts: Cohorts
) -> tuple[Calibration, tuple[str, ...]]:
    """The calibration from held-out normals, and the names of the detector's parts."""
    scored = {
        cohort: scorer.gather(sets[cohort], getattr(cohorts, cohort), recipe.calibration, seed=recipe.seed)
        for cohort in HELD_OUT
    }
    for name, gathered in scored.items():
        if not len(gathered):
            raise UserError(f"cohort {name!r} is empty; raise cohorts.{name}")
    calibration = Calibration.fit(
        scored["validation"],
        scored["calibration"],
        mixture=scorer.detector.mixture(),
        map_mixture=scorer.detector.map_mixture(),
        settings=recipe.calibration,
    )
    return calibration, tuple(scored["validation"].raw.parts)


def provenance(
    identity: Mapping[str, Any],
    recipe: Recipe,
    cohorts: Cohorts,
    sets: Mapping[str, PreparedSet],
    log: TrainingLog,
    seconds: Seconds,
    weights: Mapping[str, str],
) -> Provenance:
    """`identity`: see `Unfinished`."""
    lost = {name: len(images.errors) for name, images in sets.items()}
    lost |= {f"{name} masks": len(images.target_errors) for name, images in sets.items()}
    return Provenance(
        created=now(),
        versions=versions(),
        code=outside_code(recipe),
        seed=recipe.seed,
        manifest_digest=identity["manifest"],
        auxiliary_digest=identity.get("auxiliary", ""),
        cohorts={name: len(images) for name, images in sets.items()},
        unreadable={name: count for name, count in lost.items() if count},
        weights=dict(weights),
        training=log.to_json(),
        seconds=seconds.spent,
        device=log.device,
        precision=log.precision,
        allow_shared_patients=identity["allow_shared_patients"],
        shared_patients=len(cohorts.shared_patients),
    )


def what_was_seen(cohorts: Cohorts, sets: Mapping[str, PreparedSet]) -> Seen:
    return Seen.of(
        {name: images.digests for name, images in sets.items()},
        {name: images.contents for name, images in sets.items()},
        {name: [row.patient_id for row in getattr(cohorts, name)] for name in sets},
    )


def weight_digests(detector: Detector) -> dict[str, str]:
    """Name and SHA-256 of every file that the detector's networks were filled from, however it was found."""
    files = [getattr(module, "weights_file", None) for module in detector.modules()]
    return {file.path.name: file.sha256 for file in files if isinstance(file, WeightsFile)}


def digest_of(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()
