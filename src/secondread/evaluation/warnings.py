"""What a reader must know before believing the figures, most serious first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secondread.cohorts.conditions import Condition
from secondread.cohorts.remarks import remarked
from secondread.evaluation.cases import Cases
from secondread.evaluation.comparisons import BASELINES, Baseline
from secondread.evaluation.groups import MOST_FINDINGS
from secondread.evaluation.levels import Level
from secondread.evaluation.pixels import PixelEvaluation
from secondread.evaluation.shortcut import Shortcut
from secondread.readings.readings import Readings
from secondread.wording.lists import few
from secondread.wording.numbers import count, rate

TELLING = 0.65
"""An AUROC from acquisition alone whose whole interval lies above this is a shortcut."""
FOLLOWING = 0.4
"""A rank correlation of the score with acquisition among normals from which it is worth a warning."""
FEW = 20


@dataclass(frozen=True)
class Warning:
    """A title of a few words and one or two sentences. `kind` is a stable name for scripts."""

    kind: str
    title: str
    text: str


def warnings_of(
    cases: Cases,
    shared_patients: Sequence[str],
    images: Level,
    baselines: Mapping[str, Baseline],
    shortcut: Shortcut,
    pixels: PixelEvaluation | None,
    readings: Readings,
    where: Sequence[str] = (),
    *,
    findings: int = 0,
) -> tuple[Warning, ...]:
    """`findings`: how many the abnormal images name."""
    found = [
        _shared(shared_patients),
        _of_the_fit(readings),
        _one_label(images),
        _wrong_way(images),
        _beaten(baselines),
        _telling(shortcut),
        _following(shortcut),
        _promise_broken(images),
        _too_few_calibration(images),
        _failed(cases),
        _unfinished(readings),
        _unread_maps(pixels),
        _remarked(cases),
        _few(images),
        _no_patients(cases),
        _seen_unknown(readings),
        _copies_unknown(readings),
        _no_split(cases, where),
        _many_findings(findings),
    ]
    return tuple(warning for warning in found if warning is not None)


def _shared(patients: Sequence[str]) -> Warning | None:
    if not patients:
        return None
    return Warning(
        "shared_patients",
        "The fit saw test patients",
        f"Test patients that were in the fit, as --allow-shared-patients permits: {len(patients)} "
        f"({few(patients, 8)}). The figures below are likely too good.",
    )


def _of_the_fit(readings: Readings) -> Warning | None:
    said = readings.run.provenance.training.warnings
    if not said:
        return None
    text = "; ".join(said)
    return Warning("fit", "The model is less than its recipe", f"{text[:1].upper()}{text[1:]}.")


def _one_label(images: Level) -> Warning | None:
    reason = images.auroc.reason
    return (
        Warning("one_label", "Ranking cannot be judged", f"There is no AUROC: {reason}.") if reason else None
    )


def _wrong_way(images: Level) -> Warning | None:
    interval = images.auroc.interval
    if interval is None or interval[1] >= 0.5:
        return None
    return Warning(
        "below_chance",
        "The score ranks the wrong way round",
        f"Its AUROC interval ends at {interval[1]:.3f}, below chance: what this model calls abnormal is "
        "commoner among the normal images here.",
    )


def _beaten(baselines: Mapping[str, Baseline]) -> Warning | None:
    better = [name for name, baseline in baselines.items() if (baseline.lead.interval or (0, 0))[1] < 0]
    if not better:
        return None
    names = " and ".join(f"{BASELINES[name]} (AUROC {baselines[name].auroc.value:.3f})" for name in better)
    return Warning(
        "beaten_by_baseline",
        "A trivial baseline ranks better",
        f"{names} does better than this model on these images.",
    )


def _telling(shortcut: Shortcut) -> Warning | None:
    label = shortcut.label
    if label.value is None or label.interval is None or label.interval[0] <= TELLING:
        return None
    facts = ", ".join(f"{name} ({area:.2f})" for name, area in shortcut.strongest[:3])
    return Warning(
        "shortcut",
        "Labels can be told without looking",
        f"How an image was made and stored gives its label away with AUROC {label.value:.3f} "
        f"({label.interval[0]:.3f} to {label.interval[1]:.3f}); most telling: {facts}. "
        "A high AUROC on such data need not mean that pathology was found.",
    )


def _following(shortcut: Shortcut) -> Warning | None:
    if shortcut.follows.value is None or shortcut.follows.value < FOLLOWING:
        return None
    return Warning(
        "score_follows_acquisition",
        "The score follows acquisition",
        "Among normal images alone, acquisition facts predict the score with rank correlation "
        f"{shortcut.follows.value:.2f}.",
    )


def _promise_broken(images: Level) -> Warning | None:
    point, promise = images.calibrated, images.promise
    if point is None or promise.rate is None:
        return None
    observed = point.false_alarm_rate
    highest = promise.rate_range[1] if promise.rate_range else promise.rate
    if observed.value is None or observed.interval is None or observed.interval[0] <= highest:
        return None
    low, high = (rate(end) for end in observed.interval)
    return Warning(
        "false_alarms",
        "More false alarms than promised",
        f"{rate(observed.value)} of normal images were flagged ({low} to {high}), where calibration "
        f"promised {rate(promise.rate)} and at most {rate(highest)} fits its size: these normals "
        "do not resemble the calibration normals. Recalibrate on normals of this site with secondread "
        "calibrate.",
    )


def _too_few_calibration(images: Level) -> Warning | None:
    promise = images.promise
    if promise.asked is None:
        return Warning(
            "no_calibration",
            "No calibrated threshold",
            "The run's record names no calibration, so decisions cannot be judged against a promise.",
        )
    if promise.patients == 0:
        return Warning(
            "not_calibrated",
            "No decisions: ranks alone",
            "No normal has calibrated the bundle, so no image has a p-value and none can be flagged. "
            "secondread calibrate makes both from confirmed normals.",
        )
    if promise.rate is None:
        return Warning(
            "calibration_too_small",
            "Calibration set too small",
            f"A false-alarm rate of {rate(promise.asked)} needs a calibration on {promise.needed} or more "
            f"patients, and it had {promise.patients}: nothing can be flagged, and nothing is promised.",
        )
    if promise.rate_range is not None and promise.rate_range[1] > 2.5 * promise.rate:
        return Warning(
            "calibration_small",
            "Small calibration set",
            f"With {count(promise.patients or 0, 'calibration patient')} the true false-alarm rate may lie "
            f"anywhere from {rate(promise.rate_range[0])} to {rate(promise.rate_range[1])} (95 %).",
        )
    return None


def _failed(cases: Cases) -> Warning | None:
    if not cases.failures:
        return None
    total = len(cases.failures) + len(cases.cases)
    return Warning(
        "failed",
        "Images without a score",
        f"{len(cases.failures)} of {count(total, 'labelled test image')} have no score and are left out; "
        "each is listed below with its reason.",
    )


def _unfinished(readings: Readings) -> Warning | None:
    if readings.run.finished:
        return None
    return Warning(
        "unfinished",
        "Unfinished run",
        "The scoring run did not finish; run the same command again.",
    )


def _unread_maps(pixels: PixelEvaluation | None) -> Warning | None:
    if pixels is None or not pixels.failures:
        return None
    return Warning(
        "failed_pixels",
        "Maps or masks not read",
        f"Images left out of the pixel metrics: {len(pixels.failures)}. The first: "
        f"{pixels.failures[0].reason}.",
    )


def _remarked(cases: Cases) -> Warning | None:
    found = [one for one in remarked(cases.cases.remarks()) if one.serious]
    if not found:
        return None
    listed = "; ".join(f"{len(one.paths)} × {one.example} ({few(one.paths, 2)})" for one in found[:4])
    more = f"; and {len(found) - 4} more kinds" if len(found) > 4 else ""
    return Warning(
        "remarks",
        "Images that may be incomplete",
        f"Readers remark of test images: {listed}{more}. All remarks stand in readings.csv.",
    )


def _few(images: Level) -> Warning | None:
    fewest = min(images.normal, images.abnormal)
    if images.auroc.reason or fewest >= FEW:
        return None
    label = "normal" if images.normal < images.abnormal else "abnormal"
    return Warning(
        "few",
        "Few images",
        f"There {'is' if fewest == 1 else 'are'} only {count(fewest, f'{label} test image')}; look at the "
        "intervals.",
    )


def _no_patients(cases: Cases) -> Warning | None:
    without = cases.cases.without_patient
    if not without:
        return None
    some = f"{count(without, 'test image')} {'has' if without == 1 else 'have'} no"
    how_many = "No test image has a" if without == len(cases.cases) else some
    return Warning(
        "no_patient_ids",
        "Patients unknown",
        f"{how_many} patient id: intervals and cross-validation take images "
        "as independent, and patients shared with the fit cannot be noticed.",
    )


def _seen_unknown(readings: Readings) -> Warning | None:
    if "seen" not in readings.run.left_out:
        return None
    return Warning(
        "seen_unknown",
        "What the fit saw is not known",
        "The list of images and patients that the fit saw was left out of the bundle when it was handed "
        "over: "
        "where they are among these test images, nobody notices, and the figures are too good.",
    )


def _copies_unknown(readings: Readings) -> Warning | None:
    if readings.run.pixels_seen is not False or "seen" in readings.run.left_out:
        return None
    return Warning(
        "copies_unknown",
        "Copies not noticed",
        "The bundle was fitted by an earlier version and knows its images by their bytes alone: a training "
        "image that was saved again counts as new. Fit again, and such copies are refused.",
    )


def _no_split(cases: Cases, where: Sequence[str]) -> Warning | None:
    by_fold = any(Condition.parse(condition).column == "fold" for condition in where)
    if not cases.whole or by_fold:
        return None
    return Warning(
        "no_split",
        "No split in the manifest",
        "The manifest names no split, so all its labelled rows count as test rows.",
    )


def _many_findings(findings: int) -> Warning | None:
    if findings <= MOST_FINDINGS:
        return None
    return Warning(
        "many_findings",
        "Not every finding is judged by itself",
        f"The abnormal images name {findings:,} findings; the {MOST_FINDINGS} commonest are judged one by "
        "one. Free text in the column finding names a new one for nearly every image.",
    )
