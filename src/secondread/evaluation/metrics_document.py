"""`metrics.json`: the figures that scripts rely on, null where one does not exist."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from secondread.evaluation.comparisons import Complexity
from secondread.evaluation.estimates import Estimate
from secondread.evaluation.groups import Group
from secondread.evaluation.levels import Level
from secondread.evaluation.operating import OperatingPoint
from secondread.evaluation.parts import Background, PartEvaluation
from secondread.evaluation.pixels import PixelEvaluation


def level_document(level: Level) -> dict[str, Any]:
    """The block that images and studies share."""
    point = level.calibrated
    youden, best_f1 = level.oracle("Youden"), level.oracle("Best F1")
    document: dict[str, Any] = {
        "n": {"normal": level.normal, "abnormal": level.abnormal},
        "auroc": level.auroc.value,
        "auroc_interval": pair(level.auroc),
        "average_precision": level.average_precision.value,
        "average_precision_interval": pair(level.average_precision),
        "threshold": level.promise.threshold,
        **_shares(point),
        "false_alarm_rate_promised": level.promise.rate,
        "false_alarm_rate_promised_range": level.promise.rate_range and list(level.promise.rate_range),
        "false_alarm_rate": None if point is None else point.false_alarm_rate.value,
        "false_alarm_rate_interval": None if point is None else pair(point.false_alarm_rate),
        **_predictive(point),
        "confusion": None if point is None else _confusion(point),
        "operating_points": [
            {"name": p.name, "promised": p.promised, **_shares(p), **_confusion(p)}
            for p in level.points
            if p.kind == "rate"
        ],
        "oracle": {
            "youden": None if youden is None else {"threshold": _finite(youden.threshold), **_shares(youden)},
            "best_f1": None if best_f1 is None else {"threshold": best_f1.threshold, **_shares(best_f1)},
        },
        "flag_everything_f1": level.flag_everything_f1,
    }
    if level.auroc.reason:
        document["reason"] = level.auroc.reason
    return document


def _predictive(point: OperatingPoint | None) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name in ("ppv", "npv"):
        found = None if point is None else getattr(point, name)
        document[name] = None if found is None else found.value
        document[f"{name}_interval"] = None if found is None else pair(found)
    return document


SHARES = ("sensitivity", "specificity", "precision", "f1", "accuracy")


def _finite(threshold: float | None) -> float | None:
    """A threshold; None where flagging nothing is best, which no finite number says."""
    return threshold if threshold is not None and math.isfinite(threshold) else None


def _shares(point: OperatingPoint | None) -> dict[str, Any]:
    if point is None:
        return dict.fromkeys((*SHARES, *(f"{name}_interval" for name in SHARES)))
    estimates = {name: getattr(point, name) for name in SHARES}
    return {name: estimate.value for name, estimate in estimates.items()} | {
        f"{name}_interval": pair(estimate) for name, estimate in estimates.items()
    }


def _confusion(point: OperatingPoint) -> dict[str, int]:
    table = point.table
    return {
        "true_positives": table.true_positives,
        "false_positives": table.false_positives,
        "true_negatives": table.true_negatives,
        "false_negatives": table.false_negatives,
    }


def group_document(group: Group) -> dict[str, Any]:
    decisions = group.decisions
    return {
        "n": {"normal": group.normal, "abnormal": group.abnormal},
        "auroc": group.auroc.value,
        "auroc_interval": pair(group.auroc),
        "average_precision": group.average_precision.value,
        "average_precision_interval": pair(group.average_precision),
        **{
            f"{name}{suffix}": None if decisions is None else told(getattr(decisions, name))
            for name in ("sensitivity", "specificity", "f1")
            for suffix, told in (("", _value), ("_interval", pair))
        },
        **({"reason": group.auroc.reason} if group.auroc.reason else {}),
    }


PIXEL_INTERVALS = {
    "auroc": "auroc",
    "average_precision": "average_precision",
    "pro": "pro",
    "dice": "dice_calibrated",
    "dice_per_patient": "dice_calibrated_per_patient",
    "false_positive_share": "false_positive_share",
}


def pixel_document(pixels: PixelEvaluation | None) -> dict[str, Any] | None:
    if pixels is None:
        return None
    left_out = {
        "abnormal_without_mask": pixels.without_mask,
        "without_map": pixels.without_map,
        "failed": len(pixels.failures),
    }
    found = pixels.metrics
    if found is None:
        empty = dict.fromkeys(("auroc", "average_precision", "pro", "dice_calibrated", "dice_oracle"))
        return {**empty, "reason": pixels.reason, **left_out}
    return {
        "auroc": found.auroc,
        "average_precision": found.average_precision,
        "pro": found.pro,
        "pro_limit": found.pro_limit,
        "dice_calibrated": found.dice,
        "dice_calibrated_per_patient": found.dice_per_patient,
        "dice_oracle": found.dice_oracle.dice,
        "dice_oracle_threshold": found.dice_oracle.threshold,
        "dice_oracle_per_patient": found.dice_per_patient_oracle.dice,
        "threshold": found.threshold,
        "false_positive_share": found.false_positive_share,
        **{
            f"{told}_interval": list(pixels.intervals[name]) if name in pixels.intervals else None
            for name, told in PIXEL_INTERVALS.items()
        },
        "images": found.images,
        "lesions": found.lesions,
        "patients_with_lesion": found.patients_with_lesion,
        "abnormal_pixel_share": found.abnormal_pixels / (found.abnormal_pixels + found.normal_pixels),
        **left_out,
    }


def complexity_document(complexity: Complexity) -> Mapping[str, Any]:
    return {
        "auroc": complexity.auroc.value,
        "auroc_without": complexity.auroc_without.value,
        "auroc_without_interval": pair(complexity.auroc_without),
        "average_precision_without": complexity.average_precision_without.value,
        "average_precision_without_interval": pair(complexity.average_precision_without),
        "gain": full(complexity.gain),
        "score_follows_complexity": complexity.follows,
        "score_without_follows_complexity": complexity.follows_without,
    }


def part_document(part: PartEvaluation) -> dict[str, Any]:
    return {
        "auroc": part.auroc.value,
        "auroc_interval": pair(part.auroc),
        "average_precision": part.average_precision.value,
        "average_precision_interval": pair(part.average_precision),
        "tail": part.tail,
        "weight": part.weight,
    }


def background_document(background: Background) -> dict[str, Any]:
    """Rank correlations with the share of background among normals."""
    return {
        "score": background.score.value,
        "parts": {name: follows.value for name, follows in background.parts.items()},
    }


def _value(estimate: Estimate) -> float | None:
    return estimate.value


def pair(estimate: Estimate) -> list[float] | None:
    return None if estimate.interval is None else list(estimate.interval)


def full(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "interval": pair(estimate)}
