"""Which monthly reports are due. What draws them is imported where one is: a keeper waits for weeks, and
would hold matplotlib meanwhile."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select

from secondread.outputs.private import make_folder
from secondread.service.settings.service import ServiceSettings
from secondread.service.store.database import Database
from secondread.service.store.jobs import now
from secondread.service.store.tables import Study
from secondread.terminal.events import log_event

FOLDER = "reports"
BACK = 12
"""Months that are looked back for reports that were not written."""


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
        from secondread.service.watching.month import month_of
        from secondread.service.watching.month_written import write_month

        make_folder(folder)
        write_month(month_of(database, settings, name), folder / f"{name}.html")
        log_event("monthly report written", month=name)
        written += 1
    return written
