"""The monthly report: one HTML page that holds everything it shows, and the same figures as JSON."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from sqlalchemy import func, select

from secondread.drawing.style import STYLE
from secondread.drift.chart import chart_size, draw_chart
from secondread.outputs.private import make_folder
from secondread.outputs.whole import write_whole
from secondread.reports.figures import for_page
from secondread.reports.templates import page
from secondread.service.settings.service import ServiceSettings
from secondread.service.store.database import Database
from secondread.service.store.jobs import now
from secondread.service.store.tables import Study
from secondread.service.watching.month import Drifted, Month, month_of
from secondread.terminal.events import log_event

FOLDER = "reports"
MOST_CHARTS = 12
BACK = 12
"""Months that are looked back for reports that were not written."""


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


def write_months(database: Database, settings: ServiceSettings) -> int:
    """Write the reports of months that are over and have none yet, into `reports` of the spool; how many."""
    with database.read() as session:
        earliest = session.scalar(select(func.min(Study.first_received)))
    if earliest is None:
        return 0
    folder, written = settings.spool / FOLDER, 0
    month = now().replace(day=1)
    for _ in range(BACK):
        month = (month - timedelta(days=1)).replace(day=1)
        name = f"{month:%Y-%m}"
        if name < f"{earliest:%Y-%m}" or (folder / f"{name}.html").exists():
            break
        make_folder(folder)
        write_month(month_of(database, settings, name), folder / f"{name}.html")
        log_event("monthly report written", month=name)
        written += 1
    return written
