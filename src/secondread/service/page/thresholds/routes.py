"""Thresholds: what each bundle flags, what it would, and who changed it when."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from secondread.errors import UserError
from secondread.service.page.access import Configured, Db, Visitor, require
from secondread.service.page.rendering import render
from secondread.service.page.thresholds.forecast import DAYS, forecast
from secondread.service.reading.thresholds import change_threshold
from secondread.service.settings.service import ServiceSettings
from secondread.service.store.audit import record
from secondread.service.store.database import Database
from secondread.service.store.jobs import now

router = APIRouter()


@router.get("/thresholds")
def thresholds(
    request: Request, _visitor: Annotated[Visitor, require("viewer")], settings: Configured, database: Db
) -> Response:
    return _page(request, settings, database)


@router.post("/thresholds")
def change(
    request: Request,
    visitor: Annotated[Visitor, require("administrator")],
    settings: Configured,
    database: Db,
    bundle: Annotated[str, Form(max_length=64)],
    percent: Annotated[str, Form(max_length=20)],
    comment: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """From now on the bundle flags at a rate, in percent, with a point or a comma."""
    chosen = next((one for one in settings.bundles if one.name == bundle), None)
    if chosen is None:
        raise HTTPException(404)
    try:
        try:
            rate = float(percent.strip().rstrip("%").strip().replace(",", ".")) / 100
        except ValueError:
            raise UserError(f"{percent!r} is no number of percent") from None
        with database.write() as session:
            change_threshold(session, chosen, rate, visitor.name, comment.strip())
            detail = f"{bundle}: {rate:.6g}"
            record(session, visitor.name, "threshold", detail=detail, address=visitor.address)
    except UserError as error:
        return _page(request, settings, database, status=400, trouble=(bundle, str(error)))
    return RedirectResponse("/thresholds?changed=1", 303)


def _page(
    request: Request,
    settings: ServiceSettings,
    database: Database,
    *,
    status: int = 200,
    trouble: tuple[str, str] = ("", ""),
) -> Response:
    with database.read() as session:
        found = [forecast(session, bundle, now()) for bundle in settings.bundles]
    return render(
        request,
        "thresholds.html",
        status=status,
        forecasts=found,
        days=DAYS,
        trouble=trouble,
        changed=request.query_params.get("changed") == "1",
    )
