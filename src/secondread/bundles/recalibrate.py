"""A new calibration for the same model: another site, another scanner, another false-alarm rate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from secondread.bundles.bundle import Bundle
from secondread.bundles.caching import open_cache, settle
from secondread.bundles.companions import Companions
from secondread.bundles.gathering import gather_scores
from secondread.bundles.new_normals import new_normals
from secondread.bundles.places import available_cores
from secondread.bundles.progress import say
from secondread.cohorts.manifest import Manifest
from secondread.errors import UserError
from secondread.preprocessing.cache import Cache
from secondread.record import now
from secondread.training.device import choose_precision


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
    the parts and of the maps stays. Images that the model learnt from, and all images of patients that
    it learnt from (by keyed hash), are left out; how many and which is said, and counted in the
    bundle's provenance under `recalibrated`. Scores are computed in the precision that the recipe means on
    this machine, and from then on in that.

    Raises UserError where there is no such normal, where fewer are left than the false-alarm rate needs
    because some were left out, or where `out` exists; DataError where none can be read.
    """
    if not isinstance(manifest, Manifest):
        manifest = Manifest.read(manifest)
        for note in manifest.notes:
            say(f"note: {note}", shown=progress)
    out = Path(out)
    if out.exists():
        raise UserError(f"{out}: there is something already; remove it or choose another place with -o")
    if false_alarm_rate is not None and not 0 < false_alarm_rate < 1:
        raise UserError(f"a false-alarm rate of {false_alarm_rate} is not between 0 and 1")
    kept = open_cache(cache)
    normals = new_normals(
        manifest,
        bundle.seen,
        bundle.preprocessing,
        false_alarm_rate or bundle.calibration.settings.false_alarm_rate,
        cache=kept,
        workers=available_cores() if workers is None else workers,
        shown=progress,
    )
    rows, images = normals.rows, normals.images

    companions = {}
    for name, detector in bundle.companions.detectors.items():
        former = bundle.companions.calibrations[name]
        scored = gather_scores(
            detector, images, rows, former.settings,
            device=bundle.device, precision="float32", seed=bundle.recipe.seed, maps=False,
        )  # fmt: skip
        companions[name] = former.recalibrate(scored, false_alarm_rate=false_alarm_rate)
    settings = bundle.calibration.settings
    precision = choose_precision(bundle.recipe.precision, torch.device(bundle.device))
    scored = gather_scores(
        bundle.detector, images, rows, settings,
        device=bundle.device, precision=precision, seed=bundle.recipe.seed,
    )  # fmt: skip
    calibration = bundle.calibration.recalibrate(scored, false_alarm_rate=false_alarm_rate)
    done = {
        "manifest_digest": manifest.digest,
        "time": now(),
        "from": bundle.digest,
        "precision": precision,
        "unreadable": str(normals.unreadable),
        "patients_left_out": str(len(normals.patients)),
        "copies_left_out": str(len(normals.copies)),
    }
    renewed = replace(
        bundle,
        calibration=calibration,
        companions=Companions(bundle.companions.detectors, companions),
        recipe=bundle.recipe.model_copy(update={"calibration": calibration.settings}),
        provenance=bundle.provenance.model_copy(
            update={"recalibrated": (*bundle.provenance.recalibrated, done)}
        ),
        seen=bundle.seen.with_more(
            "calibration", images.digests, images.contents, [row.patient_id for row in rows]
        ),
        path=None,
        digest="",
    )
    saved = renewed.save(out)
    settle(kept)
    return saved
