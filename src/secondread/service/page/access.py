"""Who may do what. Every route says one of `require(role)`, `anyone()` or `a_sender()`, and `create_app`
refuses a route that says none.

    @router.post("/studies/{study_id}/verdict")
    def judge(study_id: int, visitor: Annotated[Visitor, require("reader")], database: Db) -> Response:
        ...

A route that changes something is no GET. Of every other method `require` asks the session's CSRF token, in
the form's field `csrf` (in a template: `{{ csrf_field() }}`) or in the header `X-CSRF-Token` (htmx sends it,
by `hx-headers` of the body).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from secondread.service.page.guards.origins import SAFE
from secondread.service.page.language.languages import marked
from secondread.service.page.people import sessions
from secondread.service.page.people.persons import may
from secondread.service.page.stow.senders import Senders
from secondread.service.settings.page import Role
from secondread.service.settings.service import ServiceSettings
from secondread.service.store.audit import record
from secondread.service.store.database import Database

CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class NotLoggedIn(Exception):
    """Leads a browser to the login, and tells others 401."""


@dataclass(frozen=True)
class Visitor:
    """Who asks. `address` is where from; `csrf` is the session's token; `language` is empty where none was
    chosen."""

    name: str
    role: str
    csrf: str
    language: str
    address: str

    def may(self, role: Role) -> bool:
        return may(self.role, role)


def cookie_of(request: Request, name: str) -> str:
    """The full name of one of our cookies. Under TLS no other host and no plain connection can set it."""
    return f"__Host-{name}" if is_secure(request) else name


def is_secure(request: Request) -> bool:
    settings = settings_of(request).page
    return request.url.scheme == "https" or settings.public_url.startswith("https://")


def address_of(request: Request) -> str:
    return (request.client.host if request.client else "")[:64]


def settings_of(request: Request) -> ServiceSettings:
    found: ServiceSettings = request.app.state.settings
    return found


def database_of(request: Request) -> Database:
    found: Database = request.app.state.database
    return found


Configured = Annotated[ServiceSettings, Depends(settings_of)]
"""A route's parameter: the service's configuration."""
Db = Annotated[Database, Depends(database_of)]
"""A route's parameter: the service's database."""


async def visitor_of(request: Request) -> Visitor | None:
    """Whoever the cookie belongs to; looked up once for a request."""
    if not hasattr(request.state, "visitor"):
        token = request.cookies.get(cookie_of(request, "secondread"), "")
        request.state.visitor = await run_in_threadpool(_look_up, request, token) if token else None
    found: Visitor | None = request.state.visitor
    return found


def _look_up(request: Request, token: str) -> Visitor | None:
    found = sessions.seen(database_of(request), token, settings_of(request).page)
    if found is None:
        return None
    row, person = found
    return Visitor(person.name, person.role, row.csrf, person.language, address_of(request))


class Access:
    """What a route asks of whoever calls it. `word` is for tables of routes."""

    word: str

    async def __call__(self, request: Request) -> Visitor | None:
        raise NotImplementedError


class _Anyone(Access):
    word = "anyone"

    async def __call__(self, request: Request) -> Visitor | None:
        return await visitor_of(request)


class _Required(Access):
    def __init__(self, role: Role) -> None:
        self.role = role
        self.word = role

    async def __call__(self, request: Request) -> Visitor:
        visitor = await visitor_of(request)
        if visitor is None:
            raise NotLoggedIn
        if request.method not in SAFE:
            given = await _token_given(request)
            if not hmac.compare_digest(given.encode(), visitor.csrf.encode()):
                raise HTTPException(403, marked("The page was too old or not ours; load it again."))
        if not visitor.may(self.role):
            await run_in_threadpool(_write_refusal, request, visitor)
            raise HTTPException(403, marked("This needs another role."))
        return visitor


async def _token_given(request: Request) -> str:
    if header := request.headers.get(CSRF_HEADER):
        return header
    if request.headers.get("content-type", "").startswith(FORMS):
        field = (await request.form()).get(CSRF_FIELD)
        return field if isinstance(field, str) else ""
    return ""


def _write_refusal(request: Request, visitor: Visitor) -> None:
    route = request.scope.get("route")
    detail = f"{request.method} {getattr(route, 'path', '')}"
    with database_of(request).write() as session:
        record(session, visitor.name, "refused", detail=detail, address=visitor.address)


class _Sender(Access):
    word = "sender"

    async def __call__(self, request: Request) -> Visitor:
        """Cookies count for nothing: no page can make a browser send studies."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        senders: Senders = request.app.state.senders
        name = None
        if scheme.lower() == "bearer" and token:
            name = await run_in_threadpool(senders.sender_of, token.strip())
        if name is None:
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
        return Visitor(f"[sender {name}]", "", "", "", address_of(request))


def require(role: Role) -> Any:
    """For people who are logged in with this role or a higher one: `visitor: Annotated[Visitor,
    require("viewer")]`, or `dependencies=[require("viewer")]`."""
    return Depends(_Required(role))


def anyone() -> Any:
    """For everybody, logged in or not: `visitor: Annotated[Visitor | None, anyone()]`. Nothing of a patient
    may be there."""
    return Depends(_Anyone())


def a_sender() -> Any:
    """For a machine with a token of `page.senders_file`, never for a browser: `sender: Annotated[Visitor,
    a_sender()]`."""
    return Depends(_Sender())
