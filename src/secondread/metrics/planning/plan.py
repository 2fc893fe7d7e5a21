"""A study's size planned: how many patients each figure needs, or how sure it will be of so many."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from secondread.errors import UserError
from secondread.metrics.planning.areas import (
    expected_auroc_interval,
    of_each,
    patients_for_auroc,
    patients_for_difference,
    power_of_difference,
)
from secondread.metrics.planning.rates import patients_for_promise, patients_for_share
from secondread.metrics.realised_rate import patients_needed, realised_range
from secondread.metrics.shares import clopper_pearson
from secondread.settings.arguments import checked
from secondread.wording.html_tables import html_block, html_line, html_table
from secondread.wording.numbers import NOTHING, count, number, rate, span

HEADS = ("figure", "abnormal", "normal", "calibration", "expected")


@dataclass(frozen=True)
class Need:
    """One figure with the patients that it needs, or gets, and what may be expected of it then.

    abnormal, normal  of the test; None where the figure does not depend on them
    calibration       normals held out for the threshold; None likewise
    interval          expected 95 % interval, or range of the realised rate; None where there is none
    power             chance that a test finds the difference; None for all else
    """

    figure: str
    abnormal: int | None = None
    normal: int | None = None
    calibration: int | None = None
    interval: tuple[float, float] | None = None
    power: float | None = None

    @property
    def width(self) -> float:
        return 0.0 if self.interval is None else self.interval[1] - self.interval[0]

    @property
    def cells(self) -> tuple[str, ...]:
        sizes = (self.abnormal, self.normal, self.calibration)
        return self.figure, *(NOTHING if size is None else f"{size:,}" for size in sizes), self._expected

    @property
    def _expected(self) -> str:
        if self.power is not None:
            return f"found different in {rate(self.power)} of studies"
        if self.interval is None:
            return "nothing can be flagged"
        return f"{span(self.interval)}, {number(self.width)} wide"


@dataclass(frozen=True)
class Plan:
    """The sizes of a study; printed, it is a table and a sentence."""

    needs: tuple[Need, ...]
    sentence: str

    def __str__(self) -> str:
        rows = [HEADS, *(need.cells for need in self.needs)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for first, *sizes, last in rows:
            right = (size.rjust(width) for size, width in zip(sizes, widths[1:-1], strict=True))
            lines.append("  ".join((first.ljust(widths[0]), *right, last)))
        return "\n".join([*lines, "", self.sentence])

    def _repr_html_(self) -> str:
        """As notebooks show it."""
        cells = [need.cells for need in self.needs]
        return html_block("Study size", html_table(HEADS, cells), html_line(self.sentence))


@dataclass(frozen=True)
class _Asked:
    auroc: float | None
    sensitivity: float | None
    specificity: float | None
    width: float
    prevalence: float | None
    against: float | None
    correlation: float
    power: float
    false_alarm_rate: float | None
    at_most: float | None
    abnormal: int | None
    normal: int | None
    calibration: int | None

    @property
    def sizes_given(self) -> bool:
        return any(size is not None for size in (self.abnormal, self.normal, self.calibration))

    @property
    def share(self) -> float:
        return 0.5 if self.prevalence is None else self.prevalence

    @property
    def test(self) -> tuple[int, int]:
        return _there(self.abnormal, "abnormal"), _there(self.normal, "normal")


@checked
def plan_study(
    *,
    auroc: float | None = None,
    sensitivity: float | None = None,
    specificity: float | None = None,
    width: float = 0.1,
    prevalence: float | None = None,
    against: float | None = None,
    correlation: float = 0.5,
    power: float = 0.8,
    false_alarm_rate: float | None = None,
    at_most: float | None = None,
    abnormal: int | None = None,
    normal: int | None = None,
    calibration: int | None = None,
) -> Plan:
    """How many patients are needed for intervals of 95 % that are `width` from end to end; or, with patients
    given, how wide these will be.

    auroc, sensitivity, specificity  what is expected
    prevalence          share of abnormal patients in the test; none given: half for the AUROC
    against             another AUROC on the same patients, to be found different from `auroc` with a chance
                        of `power`, where the two AUROCs correlate by `correlation`
    false_alarm_rate    to be promised; `at_most`: what the realised rate shall not exceed in 97.5 % of
                        calibration sets (none given: twice the rate)
    abnormal, normal, calibration  patients that there are

    Patients count, not images: several images of one patient say less. Raises UserError for figures out of
    range, and where nothing is asked.

    >>> import secondread
    >>> print(secondread.plan_study(auroc=0.85, width=0.1, prevalence=0.3))
    figure      abnormal  normal  calibration  expected
    AUROC 0.85        84     196            –  0.793–0.893, 0.100 wide
    <BLANKLINE>
    84 abnormal and 196 normal patients are enough: 280 at a prevalence of 30 %.
    """
    asked = _Asked(
        auroc, sensitivity, specificity, width, prevalence, against, correlation, power,
        false_alarm_rate, at_most, abnormal, normal, calibration,
    )  # fmt: skip
    try:
        of_each(2, asked.share)  # refuses a prevalence that is none
        needs = (*_of_areas(asked), *_of_shares(asked), *_of_promises(asked))
        if not needs:
            raise ValueError("nothing to plan: say what is expected, such as an AUROC of 0.85")
    except ValueError as error:
        raise UserError(str(error)) from None
    return Plan(needs, " ".join(_given(needs, asked) if asked.sizes_given else _enough(needs, asked)))


def _of_areas(asked: _Asked) -> Iterator[Need]:
    if asked.auroc is None:
        if asked.against is not None:
            raise ValueError("a comparison needs the AUROC of the first method too")
        return
    area, other = asked.auroc, asked.against
    sizes = asked.test if asked.sizes_given else patients_for_auroc(area, asked.width, asked.share)
    yield Need(f"AUROC {area:g}", *sizes, interval=expected_auroc_interval(area, *sizes))
    if other is None:
        return
    if not asked.sizes_given:
        sizes = patients_for_difference(
            area, other, correlation=asked.correlation, power=asked.power, prevalence=asked.share
        )
    found = power_of_difference(area, other, *sizes, correlation=asked.correlation)
    yield Need(f"AUROC {area:g} against {other:g}", *sizes, power=found)


def _of_shares(asked: _Asked) -> Iterator[Need]:
    for name, share, label, there in (
        ("sensitivity", asked.sensitivity, "abnormal", asked.abnormal),
        ("specificity", asked.specificity, "normal", asked.normal),
    ):
        if share is None:
            continue
        size = _there(there, label) if asked.sizes_given else patients_for_share(share, asked.width)
        interval = clopper_pearson(share * size, size)
        yield Need(
            f"{name} {rate(share)}",
            abnormal=size if label == "abnormal" else None,
            normal=size if label == "normal" else None,
            interval=interval,
        )


def _of_promises(asked: _Asked) -> Iterator[Need]:
    promised = asked.false_alarm_rate
    if promised is None:
        return
    if not 0 < promised < 1:
        raise ValueError(f"a false-alarm rate of {promised} does not lie between 0 and 1")
    highest = min(2 * promised, (1 + promised) / 2) if asked.at_most is None else asked.at_most
    size = patients_for_promise(promised, highest)
    if asked.sizes_given:
        size = _there(asked.calibration, "calibration")
    yield Need(
        f"false alarms promised {rate(promised)}", calibration=size, interval=realised_range(promised, size)
    )


def _there(size: int | None, label: str) -> int:
    if size is None:
        raise ValueError(f"give the number of {label} patients too: one of the figures rests on them")
    if size < 1:
        raise ValueError(f"{label} {size}: give the number of patients, 1 or more")
    return size


def _enough(needs: Sequence[Need], asked: _Asked) -> Iterator[str]:
    abnormal = max((need.abnormal or 0 for need in needs), default=0)
    normal = max((need.normal or 0 for need in needs), default=0)
    total = ""
    if asked.prevalence is not None and (abnormal or normal):
        patients = max(math.ceil(abnormal / asked.share), math.ceil(normal / (1 - asked.share)))
        least = of_each(patients, asked.share)
        abnormal, normal = max(abnormal, least[0]), max(normal, least[1])
        total = f": {abnormal + normal:,} at a prevalence of {rate(asked.prevalence)}"
    sizes = [f"{size:,} {label}" for size, label in ((abnormal, "abnormal"), (normal, "normal")) if size]
    if sizes:
        yield f"{' and '.join(sizes)} patients are enough{total}."
    for need in needs:
        if need.calibration is not None:
            yield (
                f"{count(need.calibration, 'calibration patient')} keep the realised rate of false alarms "
                f"between {_between(need)} in 95 % of calibration sets."
            )


def _given(needs: Sequence[Need], asked: _Asked) -> Iterator[str]:
    intervals = [need for need in needs if need.interval is not None and need.calibration is None]
    if intervals:
        widest = max(intervals, key=lambda need: need.width)
        yield f"The widest interval will be that of {widest.figure}: {number(widest.width)}."
    for need in needs:
        if need.power is not None:
            yield f"The difference will be found in {rate(need.power)} of such studies."
        if need.calibration is not None and need.interval is None:
            yield (
                f"{count(need.calibration, 'calibration patient')} can promise no false-alarm rate of "
                f"{rate(asked.false_alarm_rate)}: it needs {patients_needed(asked.false_alarm_rate or 0.5)}."
            )
        elif need.calibration is not None:
            yield (
                f"The realised rate of false alarms will lie between {_between(need)} in 95 % of calibration "
                "sets."
            )


def _between(need: Need) -> str:
    low, high = need.interval or (0.0, 1.0)
    return f"{rate(low)} and {rate(high)}"
