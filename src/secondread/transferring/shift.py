"""What another site does to a bundle: ranking, false alarms, exchangeability, how images were made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.bundles.bundle import Bundle
from secondread.evaluation.estimates import Estimate, Resampling
from secondread.evaluation.evaluation import Evaluation
from secondread.evaluation.metrics_document import full
from secondread.evaluation.operating import OperatingPoint
from secondread.evaluation.packed_cases import ranked
from secondread.evaluation.promise import Promise
from secondread.evaluation.shortcut import Shortcut, check_shortcuts
from secondread.metrics.exchangeability import Exchangeability, exchangeability
from secondread.metrics.few_patients import difference_of_aurocs
from secondread.packed import Chosen

TELLING = 0.01
"""P-values of exchangeability below it are told as a shift."""


@dataclass(frozen=True)
class Shift:
    """One bundle at home, at another site, and there with a new calibration.

    names         conditions that tell home and away
    home, away    the same bundle on both sites' test rows
    recalibrated  on the same away rows, with p-values and threshold from that site's own normals
    auroc         away minus home; the patients are others, so the two are independent
    normals_home, normals_away  how test normals lie among the calibration normals of home
    normals_recalibrated        how they do among the new ones
    acquisition   the shortcut check among normals alone, where the label is the site
    """

    names: tuple[str, str]
    home: Evaluation
    away: Evaluation
    recalibrated: Evaluation
    auroc: Estimate
    normals_home: Exchangeability
    normals_away: Exchangeability
    normals_recalibrated: Exchangeability
    acquisition: Shortcut

    @property
    def stages(self) -> tuple[tuple[str, Evaluation, Exchangeability], ...]:
        home, away = self.names
        return (
            (f"at home ({home})", self.home, self.normals_home),
            (f"away ({away})", self.away, self.normals_away),
            ("away, calibrated there", self.recalibrated, self.normals_recalibrated),
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the figures say, plainly."""
        return tuple(_sentences(self))

    def document(self) -> dict[str, Any]:
        """`transfer.json`: JSON-able, null where a figure does not exist."""
        return {
            "home": {"where": self.names[0], **_site(self.home, self.normals_home)},
            "away": {"where": self.names[1], **_site(self.away, self.normals_away)},
            "recalibrated": _site(self.recalibrated, self.normals_recalibrated),
            "auroc_difference": full(self.auroc),
            "acquisition": {
                "site_from_acquisition": full(self.acquisition.label),
                "site_from_thumbnail": full(self.acquisition.thumbnail),
                "strongest_facts": [
                    {"fact": name, "auroc": area} for name, area in self.acquisition.strongest
                ],
            },
            "sentences": list(self.sentences),
            "research_use": "research use, not a medical device",
        }


def measure_shift(
    names: tuple[str, str],
    home: Evaluation,
    away: Evaluation,
    recalibrated: Evaluation,
    bundles: tuple[Bundle, Bundle],
    how: Resampling,
) -> Shift:
    """From the evaluations of both sites, and the bundle before and after the new calibration."""
    first, renewed = bundles
    return Shift(
        names=names,
        home=home,
        away=away,
        recalibrated=recalibrated,
        auroc=_difference(away.images.auroc, home.images.auroc),
        normals_home=_among_calibration(first, home),
        normals_away=_among_calibration(first, away),
        normals_recalibrated=_among_calibration(renewed, recalibrated),
        acquisition=_site_from_acquisition(home, away, how),
    )


def _difference(away: Estimate, home: Estimate) -> Estimate:
    if away.value is None or home.value is None:
        return Estimate(None, reason=away.reason or home.reason)
    interval = None
    if away.interval is not None and home.interval is not None:
        interval = difference_of_aurocs((away.value, *away.interval), (home.value, *home.interval))
    return Estimate(away.value - home.value, interval)


def _among_calibration(bundle: Bundle, evaluation: Evaluation) -> Exchangeability:
    units, kept = evaluation.images.units, bundle.calibration.images
    normal = ~units.abnormal
    return exchangeability(
        kept.scores,
        units.scores[normal],
        calibration_weights=kept.weights,
        new_weights=_of_patients(units.groups[normal]),
    )


def _of_patients(groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights `[n]` that add up to 1 for each patient."""
    _, number = np.unique(groups, return_inverse=True)
    return np.asarray(1.0 / np.bincount(number)[number])


def _site_from_acquisition(home: Evaluation, away: Evaluation, how: Resampling) -> Shortcut:
    """Among normal images alone: the shortcut check's question, with the site in the label's place."""
    sites = [site.cases.cases for site in (home, away)]
    normals = [np.flatnonzero(~cases.abnormal) for cases in sites]
    chosen = list(zip(sites, normals, strict=True))
    whose = ranked(name for cases in sites for name in cases.group_names())
    return check_shortcuts(
        [path for cases, at in chosen for path in Chosen(cases.paths_read, at)],
        np.repeat([False, True], [len(at) for at in normals]),
        whose[np.concatenate([~cases.abnormal for cases in sites])],
        np.concatenate([cases.scores[at] for cases, at in chosen]),
        {**home.readings.acquisition, **away.readings.acquisition},
        {**home.readings.thumbnails, **away.readings.thumbnails},
        how,
    )


def _site(evaluation: Evaluation, normals: Exchangeability) -> dict[str, Any]:
    level, point = evaluation.images, evaluation.images.calibrated
    nothing = Estimate(None)
    return {
        "n": {"normal": level.normal, "abnormal": level.abnormal},
        "auroc": full(level.auroc),
        "average_precision": full(level.average_precision),
        "sensitivity": full(nothing if point is None else point.sensitivity),
        "false_alarm_rate": full(nothing if point is None else point.false_alarm_rate),
        "false_alarm_rate_promised": level.promise.rate,
        "false_alarm_rate_promised_range": level.promise.rate_range and list(level.promise.rate_range),
        "calibration_patients": level.promise.patients,
        "exchangeability": {
            "p_value": normals.p_value,
            "distance": normals.distance,
            "normals_score_higher": normals.higher,
        },
    }


def broken(point: OperatingPoint | None, promise: Promise) -> bool | None:
    """Whether more normals were flagged than calibration promised and its size allows; None where that cannot
    be said."""
    if point is None or promise.rate is None or point.false_alarm_rate.interval is None:
        return None
    highest = promise.rate_range[1] if promise.rate_range else promise.rate
    return point.false_alarm_rate.interval[0] > highest


def _sentences(shift: Shift):  # type: ignore[no-untyped-def]
    gap = shift.auroc.interval
    if gap is not None and gap[1] < 0:
        yield "The ranking is worse away than at home: the interval of the difference lies below 0."
    elif gap is not None and gap[0] > 0:
        yield "The ranking is better away than at home: the interval of the difference lies above 0."
    elif gap is not None:
        yield "The AUROCs of the two sites cannot be told apart: the interval of their difference holds 0."
    normals = shift.normals_away
    if normals.p_value < TELLING:
        way = "higher" if normals.higher > 0.5 else "lower"
        yield (
            f"Normals of the other site are not exchangeable with the calibration normals (they score {way} "
            f"in {100 * max(normals.higher, 1 - normals.higher):.0f} % of pairs): what was promised at home "
            "does not hold there."
        )
    else:
        yield (
            "No shift of the normals' scores is seen between the calibration normals and the other site's; "
            "small ones may be hidden by the number of patients."
        )
    before = broken(shift.away.images.calibrated, shift.away.images.promise)
    after = broken(shift.recalibrated.images.calibrated, shift.recalibrated.images.promise)
    if before:
        yield "At the threshold of home more normals are flagged away than promised."
    if before and after is False:
        yield "With a threshold from the other site's own normals the promise is kept there."
    elif after:
        yield "Even with a threshold from the other site's own normals the promise is not kept there."
    elif shift.recalibrated.images.promise.rate is None:
        yield (
            f"The other site's {shift.recalibrated.images.promise.patients} calibration patients are too few "
            "for a promise there."
        )
