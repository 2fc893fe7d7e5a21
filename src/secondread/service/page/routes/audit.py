"""The audit, for administrators: who saw and did what, the newest first."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy import select

from secondread.service.page.access import Db, Visitor, require
from secondread.service.page.rendering import render
from secondread.service.store.audit import record
from secondread.service.store.tables import Audit

router = APIRouter()
ROWS = 100
Asked = Annotated[str, Query(max_length=200)]


@router.get("/audit")
def show(
    request: Request,
    visitor: Annotated[Visitor, require("administrator")],
    database: Db,
    person: Asked = "",
    action: Asked = "",
    study: Asked = "",
    before: Annotated[int, Query(ge=0, le=2**62)] = 0,
) -> Response:
    wanted = select(Audit).order_by(Audit.id.desc()).limit(ROWS + 1)
    for column, value in ((Audit.person, person), (Audit.action, action), (Audit.study_uid, study)):
        wanted = wanted.where(column == value) if value else wanted
    if before:
        wanted = wanted.where(Audit.id < before)
    with database.write() as session:
        rows = session.scalars(wanted).all()
        record(session, visitor.name, "audit viewed", address=visitor.address)
    return render(
        request,
        "audit.html",
        rows=rows[:ROWS],
        older=rows[ROWS - 1].id if len(rows) > ROWS else None,
        asked={"person": person, "action": action, "study": study},
    )
