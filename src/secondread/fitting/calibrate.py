"""A new calibration for the same model: another site, another scanner, another false-alarm rate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from secondread.bundles.bundle import Bundle
from secondread.bundles.companions import Companions
from secondread.bundles.read_document import read_document
from secondread.cohorts.manifest import Manifest, ManifestLike
from secondread.errors import UserError
from secondread.fitting.new_normals import NewNormals, new_normals
from secondread.images.source import digest_of_parts
from secondread.images.workers.cores import available_cores
from secondread.outputs.folders import output_bundle
from secondread.outputs.run_record import now
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.cache.limit import settle
from secondread.preprocessing.cache.place import open_cache
from secondread.scoring.precision_drift import scoring_precision
from secondread.scoring.scorer import Scorer
from secondread.settings.arguments import checked
from secondread.terminal.say import say


@checked
def calibrate(
    bundle: Bundle | str | Path,
    manifest: ManifestLike,
    out: str | Path,
    *,
    false_alarm_rate: float | None = None,
    cache: str | Path | Cache | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Bundle:
    """Save to `out` the same model with p-values and thresholds from the manifest's normals.

    `bundle` is one, or its folder or archive.

    Rows labelled normal are used, test rows never; the images count as seen from then on. The scale of
    the parts and of the maps stays. Images that the model learned from, and all images of patients that
    it learned from (by keyed hash), are left out; how many and which is said, and counted in the
    bundle's provenance under `recalibrated`. Scores are computed in the precision that the recipe means on
    this machine (of `auto` float32 where bf16 would move them), and from then on in that.

    Where `out` is what this very call gave before (a killed process may have left it so), it is loaded.
    Raises UserError where it is something else, where there is no such normal, and where fewer are left than
    the false-alarm rate needs because some were left out; DataError where none can be read.

    >>> import secondread
    >>> from dataclasses import replace
    >>> path = secondread.make_phantoms("phantoms", seed=0, n_normal=90, n_abnormal=0)
    >>> manifest = secondread.Manifest.read(path)
    >>> here, there = (replace(manifest, rows=rows) for rows in (manifest.rows[:50], manifest.rows[50:]))
    >>> bundle = secondread.fit("spectrum", here, "bundle", workers=0, progress=False)
    >>> moved = secondread.calibrate(bundle, there, "moved", workers=0, progress=False)
    >>> bundle.calibration.threshold == moved.calibration.threshold
    False
    """
    if not isinstance(manifest, Manifest):
        manifest = Manifest.of(manifest)
        for note in manifest.notes:
            say(f"note: {note}", shown=progress)
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    out = Path(out)
    if false_alarm_rate is not None and not 0 < false_alarm_rate < 1:
        raise UserError(f"a false-alarm rate of {false_alarm_rate} is not between 0 and 1")
    rate = false_alarm_rate or bundle.calibration.settings.false_alarm_rate
    with output_bundle(out):
        earlier = calibrated_before(out, bundle, manifest, rate)
        if "seen" in bundle.left_out:
            say(
                "note: the bundle was handed over without the list of what it saw, so it cannot be told "
                "whether "
                "the model learned from some of these normals; if it did, p-values promise too much",
                shown=progress,
            )
        kept = open_cache(cache)
        normals = new_normals(
            manifest,
            bundle.seen,
            bundle.preprocessing,
            rate,
            cache=kept,
            workers=available_cores() if workers is None else workers,
            shown=progress,
        )
        if earlier is not None:
            if earlier["images"] != digest_of_parts(normals.images.digests):
                raise already(out)
            return Bundle.load(out, device=bundle.device)
        renewed = _renewed(bundle, manifest, normals, false_alarm_rate, progress)
        saved = renewed.save(out)
        settle(kept)
        return saved


def calibrated_before(out: Path, bundle: Bundle, manifest: Manifest, rate: float) -> dict[str, str] | None:
    """What the bundle at `out` says of its calibration, where that began with the same; None where there is
    nothing. UserError for anything else."""
    if not out.exists():
        return None
    if not (out / "bundle.json").is_file():
        raise already(out)
    document, _ = read_document(out)
    done = document.provenance.recalibrated[-1] if document.provenance.recalibrated else {}
    same = {"from": bundle.digest, "manifest_digest": manifest.digest, "false_alarm_rate": repr(rate)}
    if any(done.get(name) != value for name, value in same.items()):
        raise already(out)
    return done


def already(out: Path) -> UserError:
    return UserError(f"{out}: there is something already; remove it or choose another place with -o")


def _renewed(
    bundle: Bundle,
    manifest: Manifest,
    normals: NewNormals,
    false_alarm_rate: float | None,
    shown: bool,
) -> Bundle:
    """The bundle with its new calibration, not saved yet."""
    rows, images = normals.rows, normals.images
    companions = {}
    for name, detector in bundle.companions.detectors.items():
        former = bundle.companions.calibrations[name]
        scorer = Scorer(detector, device=bundle.device, precision="float32")
        scored = scorer.gather(images, rows, former.settings, seed=bundle.recipe.seed, maps=False)
        companions[name] = former.recalibrate(scored, false_alarm_rate=false_alarm_rate)
    scoring = scoring_precision(
        bundle.detector,
        bundle.recipe.precision,
        images,
        device=bundle.device,
        window=bundle.recipe.window,
    )
    for note in scoring.notes:
        say(f"note: {note}", shown=shown)
    scorer = bundle.scorer_in(scoring.precision)
    scored = scorer.gather(images, rows, bundle.calibration.settings, seed=bundle.recipe.seed)
    calibration = bundle.calibration.recalibrate(scored, false_alarm_rate=false_alarm_rate)
    done = {
        "manifest_digest": manifest.digest,
        "time": now(),
        "from": bundle.digest,
        "precision": scorer.precision,
        "false_alarm_rate": repr(calibration.settings.false_alarm_rate),
        "images": digest_of_parts(images.digests),
        "unreadable": str(normals.unreadable),
        "patients_left_out": str(len(normals.patients)),
        "copies_left_out": str(len(normals.copies)),
    }
    return replace(
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
