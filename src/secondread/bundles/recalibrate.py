"""A new calibration for the same model: another site, another scanner, another false-alarm rate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from secondread.bundles.bundle import Bundle
from secondread.bundles.companions import Companions
from secondread.bundles.gathering import gather_scores
from secondread.bundles.places import available_cores, default_cache_directory
from secondread.bundles.progress import counting, say
from secondread.cohorts.manifest import Manifest
from secondread.errors import DataError, UserError
from secondread.preprocessing.cache import Cache
from secondread.preprocessing.prepared_set import prepare_set
from secondread.record import now


def recalibrate(
    bundle: Bundle,
    manifest: Manifest | str | Path,
    out: str | Path,
    *,
    false_alarm_rate: float | None = None,
    cache: str | Path | Cache | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Bundle:
    """Save to `out` the same model with p-values and thresholds from the manifest's normals.

    Rows labelled normal are used, test rows never; the images count as seen from then on. The scale of
    the parts and of the maps stays. Images that the model learnt from are left out and said.

    Raises UserError where there is no such normal, or `out` exists; DataError where none can be read.
    """
    manifest = manifest if isinstance(manifest, Manifest) else Manifest.read(manifest)
    out = Path(out)
    if out.exists():
        raise UserError(f"{out}: there is something already; remove it or choose another place with -o")
    if false_alarm_rate is not None and not 0 < false_alarm_rate < 1:
        raise UserError(f"a false-alarm rate of {false_alarm_rate} is not between 0 and 1")
    rows = [row for row in manifest.rows if row.label == "normal" and row.split != "test"]
    if not rows:
        raise UserError(f"{manifest.source or 'the manifest'}: no row outside split test has label normal")
    kept = cache if isinstance(cache, Cache) else Cache(cache or default_cache_directory())
    with counting("preparing normals", shown=progress, total=len(rows)) as note:
        images = prepare_set(
            [manifest.reference(row) for row in rows],
            bundle.preprocessing,
            cache=kept,
            workers=available_cores() if workers is None else workers,
            progress=note,
        )
    for error in images.errors[:5]:
        say(f"not read: {error}", shown=progress)
    if not len(images):
        raise DataError(f"none of {len(rows)} normals can be read; first: {images.errors[0]}")
    learnt = {d for cohort, digests in bundle.seen.images.items() if cohort != "calibration" for d in digests}
    known = [i for i, digest in enumerate(images.digests) if digest in learnt]
    if known:
        raise UserError(
            f"{images.references[known[0]]}: this bundle learnt from it (and {len(known) - 1} more); "
            "calibrate on images that it has not seen"
        )

    companions = {}
    for name, detector in bundle.companions.detectors.items():
        former = bundle.companions.calibrations[name]
        scored = gather_scores(
            detector, images, rows, former.settings,
            device=bundle.device, precision="float32", seed=bundle.recipe.seed, maps=False,
        )  # fmt: skip
        companions[name] = former.recalibrate(scored, false_alarm_rate=false_alarm_rate)
    settings = bundle.calibration.settings
    scored = gather_scores(
        bundle.detector, images, rows, settings,
        device=bundle.device, precision=bundle.recipe.precision, seed=bundle.recipe.seed,
    )  # fmt: skip
    calibration = bundle.calibration.recalibrate(scored, false_alarm_rate=false_alarm_rate)
    done = {"manifest_digest": manifest.digest, "time": now(), "from": bundle.digest}
    renewed = replace(
        bundle,
        calibration=calibration,
        companions=Companions(bundle.companions.detectors, companions),
        recipe=bundle.recipe.model_copy(update={"calibration": calibration.settings}),
        provenance=bundle.provenance.model_copy(
            update={"recalibrated": (*bundle.provenance.recalibrated, done)}
        ),
        seen=bundle.seen.with_more("calibration", images.digests, [row.patient_id for row in rows]),
        path=None,
        digest="",
    )
    return renewed.save(out)
