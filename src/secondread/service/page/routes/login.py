"""Logging in and out."""

from __future__ import annotations

import hmac
import math
import secrets
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from secondread.service.page.access import (
    Configured,
    Db,
    Visitor,
    address_of,
    anyone,
    cookie_of,
    is_secure,
    require,
)
from secondread.service.page.guards.rate import Rate, neighbourhood
from secondread.service.page.language.languages import marked, translate
from secondread.service.page.people import sessions
from secondread.service.page.people.passwords import Busy, Passwords
from secondread.service.page.rendering import language_of, render
from secondread.service.settings.service import ServiceSettings
from secondread.service.store.audit import record
from secondread.service.store.tables import Person

router = APIRouter()
MOST = 1000
Text = Annotated[str, Form(max_length=MOST)]


@router.get("/login")
def ask(
    request: Request,
    visitor: Annotated[Visitor | None, anyone()],
    settings: Configured,
    next: Annotated[str, Query(max_length=MOST)] = "/",
) -> Response:
    if visitor is not None:
        return RedirectResponse(inside(next), 303)
    return _form(request, settings, inside(next))


@router.post("/login")
def log_in(
    request: Request,
    _visitor: Annotated[Visitor | None, anyone()],
    settings: Configured,
    database: Db,
    name: Text,
    password: Text,
    csrf: Text = "",
    next: Text = "/",
) -> Response:
    own = request.cookies.get(cookie_of(request, "secondread-form"), "")
    if not own or not hmac.compare_digest(own.encode(), csrf.encode()):
        return _form(request, settings, inside(next), 403, marked("The page was too old; try again."))
    hold_back(request, name)
    passwords: Passwords = request.app.state.passwords
    with database.read() as session:
        person = session.get(Person, name)
    usable = person is not None and not person.disabled
    try:
        fits = passwords.matches(password, person.password if person and usable else "")
    except Busy:
        raise HTTPException(
            503, marked("Too many people log in now; try again."), {"Retry-After": "5"}
        ) from None
    address = address_of(request)
    if person is None or not fits:
        with database.write() as session:
            detail = "disabled" if person and not usable else "" if person else "nobody has this name"
            record(session, person.name if person else "", "login failed", detail=detail, address=address)
        return _form(request, settings, inside(next), 401, marked("Name or password is wrong."))
    renewed = passwords.hash(password) if passwords.is_outdated(person.password) else None
    with database.write() as session:
        kept = session.get(Person, name)
        if kept is None or kept.disabled or kept.password != person.password:
            raise HTTPException(401, "Please log in again.")
        if renewed:
            kept.password = renewed
        return welcome(request, settings, session, name, inside(next), "by password")


def welcome(
    request: Request, settings: ServiceSettings, session: Session, name: str, where: str, how: str
) -> Response:
    """Begin a session under a new token, whatever token came with the request, and go on."""
    cookie = cookie_of(request, "secondread")
    if before := request.cookies.get(cookie):
        sessions.end(session, before)
    token = sessions.begin(session, name, settings.page)
    record(session, name, "logged in", detail=how, address=address_of(request))
    response = RedirectResponse(where, 303)
    set_cookie(response, request, "secondread", token, "Lax", round(settings.page.session_h * 3600))
    response.delete_cookie(
        cookie_of(request, "secondread-form"), secure=is_secure(request), httponly=True, samesite="strict"
    )
    return response


@router.post("/logout")
def log_out(request: Request, visitor: Annotated[Visitor, require("viewer")], database: Db) -> Response:
    cookie = cookie_of(request, "secondread")
    with database.write() as session:
        sessions.end(session, request.cookies[cookie])
        record(session, visitor.name, "logged out", address=visitor.address)
    response = RedirectResponse("/login", 303, headers={"Clear-Site-Data": '"cache", "storage"'})
    response.delete_cookie(cookie, secure=is_secure(request), httponly=True, samesite="lax")
    return response


def inside(given: str) -> str:
    r"""A path of this page to go on to, `/` in place of anything else: `//elsewhere`, `/\elsewhere` and
    `https:elsewhere` lead away."""
    if not given.isprintable() or "\\" in given or not given.startswith("/") or given.startswith("//"):
        return "/"
    parts = urlsplit(given)
    if parts.scheme or parts.netloc or parts.path.startswith("//") or parts.path in ("/login", "/logout"):
        return "/"
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def hold_back(request: Request, name: str = "") -> None:
    """So many tries a minute from one address, and for one name."""
    logins: Rate = request.app.state.logins
    keys = [f"from {neighbourhood(address_of(request))}"] + ([f"as {name.casefold()}"] if name else [])
    wait = max(logins.wait_s(key) for key in keys)
    if wait:
        raise HTTPException(
            429, marked("Too many tries; wait a minute."), {"Retry-After": str(math.ceil(wait))}
        )


def _form(
    request: Request, settings: ServiceSettings, where: str, status: int = 200, trouble: str = ""
) -> Response:
    token = request.cookies.get(cookie_of(request, "secondread-form"), "") if status == 401 else ""
    token = token or secrets.token_urlsafe(32)
    elsewhere = settings.page.open_id is not None
    trouble = translate(language_of(request), trouble) if trouble else ""
    response = render(
        request, "login.html", status=status, csrf=token, where=where, trouble=trouble, elsewhere=elsewhere
    )
    set_cookie(response, request, "secondread-form", token, "Strict", 3600)
    return response


def set_cookie(
    response: Response, request: Request, name: str, value: str, same_site: str, seconds: int
) -> None:
    marks = f"HttpOnly; SameSite={same_site}" + ("; Secure" if is_secure(request) else "")
    cookie = f"{cookie_of(request, name)}={value}; Path=/; Max-Age={seconds}; {marks}"
    response.headers.append("set-cookie", cookie)
