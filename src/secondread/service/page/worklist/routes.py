"""The worklist, the wall, and the language that somebody chooses."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from secondread.service.page.access import Configured, Db, Visitor, anyone, is_secure, require
from secondread.service.page.language.languages import COOKIE, LANGUAGES
from secondread.service.page.people.persons import find as find_person
from secondread.service.page.rendering import render
from secondread.service.page.routes.login import inside
from secondread.service.page.worklist.again import try_again
from secondread.service.page.worklist.asked import FLAGS, ORDERS, SINCE, VERDICTS, VIEWS, Asked
from secondread.service.page.worklist.counts import count
from secondread.service.page.worklist.find import find, modalities
from secondread.service.store.alarms import dismiss_alarm
from secondread.service.store.audit import record
from secondread.service.store.database import Database
from secondread.service.store.jobs import now

router = APIRouter()
Viewer = Annotated[Visitor, require("viewer")]
ON_WALL = 12
"""Studies, as many as are read from some metres away."""
YEAR_S = 365 * 24 * 3600


@router.get("/")
def begin(_visitor: Viewer) -> Response:
    return RedirectResponse("/studies", 303)


@router.get("/studies")
def worklist(request: Request, visitor: Viewer, settings: Configured, database: Db) -> Response:
    asked, at = Asked.of(request.query_params, visitor.csrf), now()
    with database.read() as session:
        found = find(session, asked, visitor.csrf, at)
        if not found.lines and (asked.after or asked.before):
            return RedirectResponse(asked.address(visitor.csrf), 303)
        counts = count(session, asked.since, at)
        there = modalities(session)
    if asked.text:
        _write_search(database, visitor)
    return render(
        request,
        "studies.html",
        asked=asked,
        found=found,
        counts=counts,
        modalities=there,
        bundles=[bundle.name for bundle in settings.bundles],
        address=lambda **changed: asked.address(visitor.csrf, **changed),
        choices={"views": VIEWS, "since": SINCE, "flagged": FLAGS, "verdict": VERDICTS, "order": ORDERS},
    )


def _write_search(database: Database, visitor: Visitor) -> None:
    with database.write() as session:
        record(session, visitor.name, "searched", address=visitor.address)


@router.post("/studies/search")
async def search(request: Request, visitor: Viewer) -> Response:
    """The filter and what is searched for, to an address that names no patient."""
    form = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
    asked = Asked.of({**form, "q": ""}, visitor.csrf)
    text = form.get("text", "").strip()[:100]
    return RedirectResponse(asked.address(visitor.csrf, text=text), 303)


@router.post("/studies/{study}/again")
def again(study: int, visitor: Annotated[Visitor, require("administrator")], database: Db) -> Response:
    """Read a study that was not read, or was set aside, once more."""
    with database.write() as session:
        uid = try_again(session, study)
        if uid is None:
            raise HTTPException(404)
        record(session, visitor.name, "try again", study_uid=uid, address=visitor.address)
    return RedirectResponse(f"/studies/{study}", 303)


@router.post("/alarms/{alarm}/close")
def close_alarm(alarm: int, visitor: Annotated[Visitor, require("administrator")], database: Db) -> Response:
    """What an alarm told of was looked into. One that was closed meanwhile is no error."""
    with database.write() as session:
        dismiss_alarm(session, alarm, visitor.name, address=visitor.address)
    return RedirectResponse("/studies", 303)


@router.get("/wall")
def wall(request: Request, visitor: Viewer, database: Db) -> Response:
    """The top of the list for a screen that many see: without names unless `names=1` asks for them."""
    at: datetime = now()
    with database.read() as session:
        found = find(session, Asked(since=1), visitor.csrf, at, size=ON_WALL)
        counts = count(session, 1, at)
    return render(
        request, "wall.html", found=found, counts=counts, names=request.query_params.get("names") == "1"
    )


@router.post("/language")
def choose_language(
    request: Request,
    visitor: Annotated[Visitor | None, anyone()],
    database: Db,
    language: Annotated[str, Form(max_length=8)],
    back: Annotated[str, Form(max_length=1000)] = "/",
) -> Response:
    """In this browser, and of whoever has logged in. Nothing else changes by it, so that it asks no token;
    requests from other sites are refused all the same (`guards.origins`)."""
    if language not in LANGUAGES:
        raise HTTPException(422)
    if visitor is not None:
        with database.write() as session:
            find_person(session, visitor.name).language = language
    response = RedirectResponse(inside(back) if visitor else "/login", 303)
    response.set_cookie(
        COOKIE, language, max_age=YEAR_S, secure=is_secure(request), httponly=True, samesite="lax"
    )
    return response
