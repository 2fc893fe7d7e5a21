"""People, for administrators: who may log in, and as what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from secondread.errors import UserError
from secondread.service.page.access import Db, Visitor, require
from secondread.service.page.failures import sentence
from secondread.service.page.language.languages import marked, translate
from secondread.service.page.people import changes, persons
from secondread.service.page.people.passwords import Passwords
from secondread.service.page.rendering import language_of, render
from secondread.service.store.database import Database

router = APIRouter()
Administrator = Annotated[Visitor, require("administrator")]
Name = Annotated[str, Form(max_length=100)]
Word = Annotated[str, Form(max_length=20)]
Password = Annotated[str, Form(max_length=1000)]
ROLE_NAMES = (marked("viewer"), marked("reader"), marked("administrator"))


@router.get("/people")
def show(request: Request, _visitor: Administrator, database: Db) -> Response:
    return _page(request, database)


@router.post("/people/add")
def add(
    request: Request, visitor: Administrator, database: Db, name: Name, role: Word, password: Password
) -> Response:
    passwords: Passwords = request.app.state.passwords
    return _changed(request, database, changes.Add(name, role, passwords.hash, password), visitor)


@router.post("/people/role")
def set_role(request: Request, visitor: Administrator, database: Db, name: Name, role: Word) -> Response:
    return _changed(request, database, changes.SetRole(name, role), visitor)


@router.post("/people/disable")
def disable(request: Request, visitor: Administrator, database: Db, name: Name) -> Response:
    return _changed(request, database, changes.Disable(name), visitor)


@router.post("/people/enable")
def enable(request: Request, visitor: Administrator, database: Db, name: Name) -> Response:
    return _changed(request, database, changes.Enable(name), visitor)


@router.post("/people/password")
def set_password(
    request: Request, visitor: Administrator, database: Db, name: Name, password: Password
) -> Response:
    passwords: Passwords = request.app.state.passwords
    return _changed(request, database, changes.SetPassword(name, passwords.hash, password), visitor)


def _changed(request: Request, database: Database, change: changes.Change, visitor: Visitor) -> Response:
    try:
        changes.carry_out(database, change, visitor.name, visitor.address)
    except UserError as error:
        return _page(request, database, status=400, trouble=sentence(error))
    return RedirectResponse("/people", 303)


def _page(request: Request, database: Database, *, status: int = 200, trouble: str = "") -> Response:
    with database.read() as session:
        everybody = persons.everybody(session)
    said = translate(language_of(request), trouble) if trouble else ""
    return render(request, "people.html", status=status, people=everybody, roles=persons.ROLES, trouble=said)
