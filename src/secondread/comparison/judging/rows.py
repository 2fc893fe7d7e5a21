"""One method's row of the table: what its runs gave, over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.comparison.judging.results import Results, RunResult
from secondread.comparison.running.methods import Method
from secondread.metrics.bootstrap import Interval
from secondread.metrics.decisions import decide, f1_of
from secondread.metrics.midranks import midranks
from secondread.metrics.paired import Rank
from secondread.metrics.precision_recall import average_precision
from secondread.metrics.roc import auroc, sensitivity_at_specificity
from secondread.metrics.shares import share_interval
from secondread.wording.short import Short

Pair = tuple[float, float]
SPECIFICITIES = (0.8, 0.9, 0.95)
PIXEL = ("auroc", "average_precision", "pro", "dice_oracle", "dice_calibrated")


@dataclass(frozen=True)
class Spread:
    """Over seeds: mean, standard deviation (None for one seed), and the values; None where some run has
    no such figure."""

    mean: float
    deviation: float | None
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Spread | None:
        there = [value for value in values if value is not None]
        return cls.over(there) if there and len(there) == len(values) else None

    @classmethod
    def over(cls, values: Sequence[float]) -> Spread:
        """ValueError for no values."""
        if not values:
            raise ValueError("no values")
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(float(np.mean(values)), deviation, tuple(float(value) for value in values))


@dataclass(frozen=True, repr=False)
class MethodRow(Short):
    """One method.

    seeds                  those that are finished
    auroc_interval, average_precision_interval  95 %, patients and seeds resampled
    rank                   mean over resamples (1 = best), with its 95 % range
    sensitivity_at         by fixed specificity, read off the test's own ROC
    false_alarm_rate       observed among test normals at the calibrated threshold; `promised` beside it;
                           None where calibration was too small for it
    sensitivity_interval, false_alarm_interval, f1_interval  95 %, at that threshold: `metrics.shares`, where
                           the seeds are more images of each patient, and the variance over seeds is added
    pixel                  by metric (`auroc`, `average_precision`, `pro`, `dice_oracle`, `dice_calibrated`)
    shortcut               `score_follows_acquisition` of the run's shortcut check
    scores                 `[n]`, mean over seeds of each run's ranks in [0, 1]: for pictures and agreement
    """

    name: str
    trivial: bool
    reference: bool
    seeds: tuple[int, ...]
    auroc: Spread
    auroc_interval: Pair
    average_precision: Spread
    average_precision_interval: Pair
    rank: float
    rank_range: tuple[float, float]
    sensitivity_at: Mapping[float, Spread]
    sensitivity: Spread | None
    specificity: Spread | None
    f1: Spread | None
    promised: float | None
    false_alarm_rate: Spread | None
    sensitivity_interval: Pair | None
    false_alarm_interval: Pair | None
    f1_interval: Pair | None
    pixel: Mapping[str, Spread]
    shortcut: Spread | None
    train_seconds: Spread
    score_seconds: Spread
    peak_memory_bytes: Spread
    parameters: int
    bundle_bytes: int
    scores: NDArray[np.float64]


def method_row(
    results: Results,
    method: Method,
    runs: Sequence[RunResult],
    interval: Interval,
    precision_interval: Interval,
    rank: Rank,
) -> MethodRow:
    """The row of a method's finished runs, with the intervals of AUROC and average precision and the rank as
    resampled."""
    abnormal = results.images.abnormal

    def over(figure: Callable[[RunResult], float | None]) -> Spread | None:
        return Spread.of([figure(run) for run in runs])

    def certainly(figure: Callable[[RunResult], float]) -> Spread:
        return Spread.over([figure(run) for run in runs])

    def at(specificity: float) -> Spread:
        return certainly(lambda run: sensitivity_at_specificity(abnormal, run.scores, specificity))

    def of_pixels(metric: str) -> Spread | None:
        return over(lambda run: (run.metrics.get("pixel") or {}).get(metric))

    def flagged(which: NDArray[np.bool_]) -> Callable[[RunResult], float | None]:
        return lambda run: None if run.flagged is None else float(run.flagged[which].mean())

    false_alarms = over(flagged(~abnormal))
    return MethodRow(
        name=method.name,
        trivial=method.trivial,
        reference=method.name == results.plan.reference,
        seeds=tuple(run.run.seed for run in runs),
        auroc=certainly(lambda run: auroc(abnormal, run.scores)),
        auroc_interval=(interval.low, interval.high),
        average_precision=certainly(lambda run: average_precision(abnormal, run.scores)),
        average_precision_interval=(precision_interval.low, precision_interval.high),
        rank=rank.mean,
        rank_range=(rank.low, rank.high),
        sensitivity_at={specificity: at(specificity) for specificity in SPECIFICITIES},
        sensitivity=over(flagged(abnormal)),
        specificity=None if false_alarms is None else Spread.of([1 - rate for rate in false_alarms.values]),
        f1=over(lambda run: None if run.flagged is None else decide(abnormal, run.flagged).f1),
        promised=None if false_alarms is None else runs[0].metrics["false_alarm_rate_promised"],
        false_alarm_rate=false_alarms,
        sensitivity_interval=_share(results, runs, lambda flags: (abnormal, flags)),
        false_alarm_interval=_share(results, runs, lambda flags: (~abnormal, flags)),
        f1_interval=_f1(_share(results, runs, lambda flags: (abnormal | flags, abnormal & flags))),
        pixel={metric: found for metric in PIXEL if (found := of_pixels(metric)) is not None},
        shortcut=over(lambda run: run.metrics["shortcut"]["score_follows_acquisition"]),
        train_seconds=certainly(lambda run: run.cost.train_seconds),
        score_seconds=certainly(lambda run: run.cost.score_seconds),
        peak_memory_bytes=certainly(lambda run: run.cost.peak_memory_bytes),
        parameters=runs[0].cost.parameters,
        bundle_bytes=max(run.cost.bundle_bytes for run in runs),
        scores=np.mean([ranks_of(run.scores) for run in runs], axis=0),
    )


def _share(
    results: Results,
    runs: Sequence[RunResult],
    ask: Callable[[NDArray[np.bool_]], tuple[NDArray[np.bool_], NDArray[np.bool_]]],
) -> Pair | None:
    """Interval of the share of images, among the first that `ask` gives of a run's flags, that are among its
    second; None where a run has no flags or there is no such image."""
    answers, patients = [], []
    for run in runs:
        if run.flagged is None:
            return None
        among, right = ask(run.flagged)
        answers.append(right[among])
        patients.append(results.images.patients[among])
    if not all(len(own) for own in answers):
        return None
    rates = [float(own.mean()) for own in answers]
    over_seeds = float(np.var(rates, ddof=1)) / len(rates) if len(rates) > 1 else 0.0
    return share_interval(np.concatenate(answers), np.concatenate(patients), extra_variance=over_seeds)


def _f1(overlap: Pair | None) -> Pair | None:
    return None if overlap is None else (f1_of(overlap[0]), f1_of(overlap[1]))


def ranks_of(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mid-ranks scaled to [0, 1], `[n]`."""
    return (midranks(scores) - 1) / max(1, len(scores) - 1)
