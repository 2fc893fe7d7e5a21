"""The monthly report: one HTML page that holds everything it shows, and the same figures as JSON."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from secondread.drawing.style import STYLE
from secondread.drift.chart import chart_size, draw_chart
from secondread.outputs.whole import write_whole
from secondread.reports.figures import for_page
from secondread.reports.templates import page
from secondread.service.watching.month import Drifted, Month

MOST_CHARTS = 12


def document(month: Month) -> dict[str, Any]:
    """The report as JSON; the points of charts stay in the page."""
    found = asdict(month)
    found["delivered"] = [
        {"destination": to, "outcome": outcome, "number": number}
        for (to, outcome), number in month.delivered.items()
    ]
    found["drift"] = [
        {
            "bundle": one.bundle,
            "scanner": one.scanner,
            "studies": one.studies,
            "highest_evidence": max(point.evidence for point in one.points),
            "highest_cusum": max(max(point.up, point.down) for point in one.points),
        }
        for one in month.drift
    ]
    for flags, said in zip(month.flags, found["flags"], strict=True):
        said |= {"share": flags.share, "interval": flags.interval}
    found["agreement"] |= {"false_alarms": month.agreement.false_alarms}
    return found | {"research_use": "research use, not a medical device"}


def write_month(month: Month, out: Path) -> Path:
    """Write the page at `out` and its JSON beside it; returns `out`."""
    shown = [(one, chart(one, f"chart-{number}")) for number, one in enumerate(month.drift[:MOST_CHARTS])]
    text = json.dumps(document(month), indent=1, allow_nan=False, default=_plain) + "\n"
    write_whole(out.with_suffix(".json"), text.encode())
    write_whole(out, page("service.html", month=month, charts=shown).encode())
    return out


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"a report holds no {type(value).__name__}")


def chart(drifted: Drifted, name: str) -> str:
    """Inline SVG of a stream."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=chart_size(1), layout="constrained")
        title = f"{drifted.bundle}, scanner {drifted.scanner[:8]}"
        draw_chart(figure, [(title, drifted.points, ())], "study of this scanner")
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return for_page(drawn.getvalue(), name)
