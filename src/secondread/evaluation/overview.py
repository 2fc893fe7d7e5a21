"""An evaluation at a glance, as notebooks show it; the report has all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from secondread.evaluation.comparisons import BASELINES, Baseline
from secondread.evaluation.estimates import Estimate
from secondread.evaluation.levels import Level
from secondread.evaluation.warnings import Warning
from secondread.metrics.roc import RocCurve
from secondread.wording.html_tables import Markup, html_block, html_line, html_table
from secondread.wording.numbers import number, percent, percent_span, signed, span

SIDE = 200
MOST_POINTS = 400


def overview(
    title: str,
    levels: Sequence[Level],
    baselines: Mapping[str, Baseline],
    warnings: Sequence[Warning],
    shared_patients: Sequence[str],
) -> str:
    """HTML: each level's figures and ROC, the trivial baselines, and what to know before believing them."""
    parts = []
    for level in levels:
        curve = "" if level.curves is None else roc_picture(level.curves.roc)
        parts.append(html_table((f"per {level.unit}", "", "95 %", ""), [*figures(level, curve)], left=1))
    if baselines:
        lines = [
            (BASELINES[name], number(found.auroc.value), signed(found.lead.value, found.lead.interval))
            for name, found in baselines.items()
        ]
        parts.append(html_table(("trivial baseline", "AUROC", "the method's lead"), lines))
    if shared_patients:
        parts.append(html_line(f"The fit saw {len(shared_patients):,} of the test's patients."))
    parts += [html_line(f"{warning.title}. {warning.text}") for warning in warnings]
    parts.append(html_line("Research use, not a medical device."))
    return html_block(title, *parts)


def figures(level: Level, curve: str) -> list[tuple[str, str, str, str]]:
    """Lines of a name, a figure, its interval, and (once) the curve."""

    def area(name: str, found: Estimate, beside: str = "") -> tuple[str, str, str, str]:
        return name, number(found.value), span(found.interval) or found.reason, beside

    def share(name: str, found: Estimate) -> tuple[str, str, str, str]:
        return name, percent(found.value), percent_span(found.interval) or found.reason, ""

    lines = [
        area("AUROC", level.auroc, curve),
        area("average precision", level.average_precision),
        ("normal, abnormal", f"{level.normal:,}, {level.abnormal:,}", "", ""),
    ]
    point = level.calibrated
    if point is not None:
        promised = percent(level.promise.rate)
        lines += [
            share("sensitivity at the calibrated threshold", point.sensitivity),
            share(f"false alarms ({promised} promised)", point.false_alarm_rate),
        ]
    return lines


def roc_picture(curve: RocCurve) -> Markup:
    """The curve over the unit square, with the diagonal of chance."""
    every = max(1, len(curve.sensitivity) // MOST_POINTS)
    kept = [*range(0, len(curve.sensitivity), every), len(curve.sensitivity) - 1]
    points = " ".join(
        f"{SIDE * float(curve.false_positive_rate[i]):.1f},{SIDE * (1 - float(curve.sensitivity[i])):.1f}"
        for i in kept
    )
    return Markup(
        f'<svg width="{SIDE}" height="{SIDE}" viewBox="-2 -2 {SIDE + 4} {SIDE + 4}" role="img" '
        'aria-label="ROC"><g fill="none" stroke="currentColor">'
        f'<rect width="{SIDE}" height="{SIDE}" stroke-opacity="0.4"/>'
        f'<path d="M0 {SIDE}L{SIDE} 0" stroke-opacity="0.4" stroke-dasharray="4"/>'
        f'<polyline points="{points}" stroke-width="2"/></g></svg>'
    )
