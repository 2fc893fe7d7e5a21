"""Readings meet labels: everything that can be said of a run on test rows, in one object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from secondread.cohorts.arrays.labels import labels_of
from secondread.cohorts.manifest import Manifest, ManifestLike
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.evaluation.cases import join
from secondread.evaluation.comparisons import compare_baselines, compare_complexity
from secondread.evaluation.estimates import Resampling
from secondread.evaluation.evaluation import Evaluation
from secondread.evaluation.groups import commonest_findings, per_finding, per_subgroup
from secondread.evaluation.leaks import refuse_seen
from secondread.evaluation.levels import image_units, measure, study_units
from secondread.evaluation.parts import follow_background, judge_parts
from secondread.evaluation.pixels import evaluate_pixels
from secondread.evaluation.promise import image_promise, study_promise
from secondread.evaluation.shortcut import check_shortcuts
from secondread.evaluation.warnings import warnings_of
from secondread.images.workers.cores import available_cores
from secondread.readings.readings import Readings
from secondread.settings.arguments import checked


@checked
def evaluate(
    readings_csv: str | Path | Readings,
    manifest: ManifestLike | None = None,
    *,
    labels: Iterable[Any] | None = None,
    prevalence: float | None = None,
    seed: int = 0,
    bootstrap: int = 2000,
    where: Sequence[str] = (),
    workers: int | None = None,
) -> Evaluation:
    """Judge readings by the manifest's test rows (all rows, where it names no split), or by labels.

    labels      in place of a manifest, for readings of arrays: one for each reading in order, `normal` or 0,
                `abnormal` or 1, None where there is none
    prevalence  the share of abnormal cases where the model is to be used: adds PPV and NPV
    bootstrap   resamples of patients behind every interval
    where       conditions on the manifest's columns, such as `view=PA`
    workers     processes that read maps and masks; None = as many as there are cores, 0 = this one

    Raises UserError where nothing can be joined, or the bundle saw a test image, or a test patient
    without having been allowed to.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=50, n_abnormal=10)
    >>> bundle = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
    >>> readings = secondread.score(bundle, manifest, "readings", where=["split=test"], workers=0)
    >>> evaluation = secondread.evaluate(readings, manifest, bootstrap=50, workers=0)
    >>> evaluation.metrics()["n"]["abnormal"]
    10
    """
    if prevalence is not None and not 0 < prevalence < 1:
        raise UserError(f"prevalence {prevalence:g}: give a share between 0 and 1, such as 0.1")
    how = Resampling(bootstrap, seed)
    readings = readings_csv if isinstance(readings_csv, Readings) else Readings.read(readings_csv)
    manifest = _manifest_of(readings, manifest, labels)
    manifest = manifest.where(*where)
    cores = available_cores()
    processes = min(cores, 8) if workers is None else workers
    joined = join(readings, manifest, workers=processes)
    cases = joined.cases
    shared = refuse_seen(cases, readings)
    units, promise = image_units(cases), image_promise(readings)
    images = measure(units, promise, how, prevalence)
    by_study = study_units(cases, readings)
    studies = None
    if 0 < len(by_study) < sum(map(bool, cases.column("study_id"))):
        studies = measure(by_study, study_promise(readings), how, prevalence, unit="study")
    left_out = "thumbnails" in readings.run.left_out
    baselines = compare_baselines(cases, units, how, left_out=left_out)
    parts = judge_parts(cases, units, readings, how)
    shortcut = check_shortcuts(
        cases.paths_read,
        cases.abnormal,
        cases.groups,
        cases.scores,
        readings.acquisition,
        readings.thumbnails,
        how,
    )
    named = commonest_findings(cases)
    pixels = evaluate_pixels(cases, threshold=readings.run.map_threshold, workers=processes, how=how)
    return Evaluation(
        readings=readings,
        manifest=manifest,
        cases=joined,
        shared_patients=tuple(shared),
        images=images,
        studies=studies,
        findings=per_finding(cases, named, units, promise, how),
        subgroups=per_subgroup(cases, units, promise, how),
        baselines=baselines,
        complexity=compare_complexity(cases, units, how),
        parts=parts,
        background=follow_background(units, parts),
        shortcut=shortcut,
        pixels=pixels,
        prevalence=prevalence,
        how=how,
        where=tuple(where),
        warnings=warnings_of(
            joined, shared, images, baselines, shortcut, pixels, readings, where, findings=len(named)
        ),
    )


def _manifest_of(readings: Readings, manifest: ManifestLike | None, labels: Iterable[Any] | None) -> Manifest:
    """The manifest that was given, or one of the readings' images with the labels that were."""
    if (manifest is None) == (labels is None):
        raise UserError(
            "evaluate takes a manifest, or one label for each reading with labels=; give one of the two"
        )
    if manifest is not None:
        return Manifest.of(manifest)
    said = labels_of([] if labels is None else labels, len(readings))
    rows = (
        Row(reading.path, label=label, study_id=reading.study_id)
        for reading, label in zip(readings, said, strict=True)
    )
    return Manifest(tuple(rows), readings.base or Path())
