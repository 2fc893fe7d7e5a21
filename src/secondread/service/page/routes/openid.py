"""Logging in with the hospital's account, by OpenID Connect."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from secondread.errors import UserError
from secondread.service.page.access import (
    Configured,
    Db,
    Visitor,
    address_of,
    anyone,
    cookie_of,
    is_secure,
)
from secondread.service.page.language.languages import marked
from secondread.service.page.openid.identity import Refused
from secondread.service.page.openid.provider import Away, Identity, Provider
from secondread.service.page.people import persons
from secondread.service.page.routes.login import hold_back, inside, set_cookie, welcome
from secondread.service.settings.page import PageSettings
from secondread.service.store.audit import record
from secondread.service.store.tables import Person

router = APIRouter()
COOKIE, COOKIE_S = "secondread-openid", 600
BACK = "/login/openid/back"
Anyone = Annotated[Visitor | None, anyone()]


@router.get("/login/openid")
def go(
    request: Request,
    _visitor: Anyone,
    settings: Configured,
    next: Annotated[str, Query(max_length=1000)] = "/",
) -> Response:
    hold_back(request)
    try:
        begun = _provider(request).begin(inside(next), _back_to(request, settings.page))
    except Away:
        raise HTTPException(
            503, marked("The hospital's login does not answer."), {"Retry-After": "30"}
        ) from None
    response = RedirectResponse(begun.url, 303)
    set_cookie(response, request, COOKIE, begun.cookie, "Lax", COOKIE_S)
    return response


@router.get(BACK)
def come_back(request: Request, _visitor: Anyone, settings: Configured, database: Db) -> Response:
    hold_back(request)
    answer = {name: value for name, value in request.query_params.items() if len(value) <= 4000}
    cookie = request.cookies.get(cookie_of(request, COOKIE), "")
    try:
        identity = _provider(request).finish(answer, cookie)
        with database.write() as session:
            name = _known(session, identity)
            response = welcome(request, settings, session, name, identity.where, "by OpenID Connect")
    except Refused as error:
        with database.write() as session:
            record(
                session, "", "login failed", detail=f"OpenID Connect: {error}", address=address_of(request)
            )
        raise HTTPException(403, marked("The hospital's login did not let you in.")) from None
    except Away:
        raise HTTPException(
            503, marked("The hospital's login does not answer."), {"Retry-After": "30"}
        ) from None
    response.delete_cookie(
        cookie_of(request, COOKIE), secure=is_secure(request), httponly=True, samesite="lax"
    )
    return response


def _known(session: Session, identity: Identity) -> str:
    """The person of a subject, with the role that the provider gives; a new one the first time. A name that
    is another's is not taken over: the subject counts, whatever the provider calls it."""
    person = session.scalars(select(Person).where(Person.subject == identity.subject)).first()
    if person is None:
        taken = select(Person.name).where(func.lower(Person.name) == identity.name.lower())
        if session.scalars(taken).first() is not None:
            raise Refused("another person has the name here")
        try:
            persons.add(session, identity.name, identity.role, subject=identity.subject)
        except UserError:
            raise Refused("the name cannot be used here") from None
        record(session, "[OpenID Connect]", "people", detail=f"added {identity.name} as {identity.role}")
        return identity.name
    if person.disabled:
        raise Refused("the person is disabled")
    if person.role != identity.role:
        detail = f"{person.name}: {person.role} is now {identity.role}"
        record(session, "[OpenID Connect]", "people", detail=detail)
        person.role = identity.role
    return person.name


def _back_to(request: Request, page: PageSettings) -> str:
    """Its host is one of ours: a guard looked."""
    own = page.public_url.rstrip("/") or f"{request.url.scheme}://{request.url.netloc}"
    return f"{own}{BACK}"


def _provider(request: Request) -> Provider:
    found: Provider | None = request.app.state.provider
    if found is None:
        raise HTTPException(404)
    return found
