"""What a person may change of his own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response

from secondread.errors import UserError
from secondread.service.page.access import Configured, Db, Visitor, require
from secondread.service.page.failures import sentence
from secondread.service.page.language.languages import marked, translate
from secondread.service.page.people import persons
from secondread.service.page.people.passwords import Passwords
from secondread.service.page.rendering import language_of, render
from secondread.service.page.routes.login import Text, hold_back, welcome
from secondread.service.store.audit import record

router = APIRouter()
WRONG = marked("The old password is wrong.")
DIFFER = marked("The new passwords differ.")
UNFIT = (
    marked("A password has 12 to 1000 characters."),
    marked("This password is too easy to guess; take several words."),
)
"""What `Passwords.hash` says."""


@router.get("/account")
def show(request: Request, visitor: Annotated[Visitor, require("viewer")], database: Db) -> Response:
    with database.read() as session:
        person = persons.find(session, visitor.name)
    return render(request, "account.html", person=person, trouble="")


@router.post("/account/password")
def change(
    request: Request,
    visitor: Annotated[Visitor, require("viewer")],
    settings: Configured,
    database: Db,
    old: Text,
    new: Text,
    again: Text,
) -> Response:
    """Every other browser of the person is logged out; this one goes on under a new token."""
    hold_back(request, visitor.name)
    passwords: Passwords = request.app.state.passwords
    with database.read() as session:
        person = persons.find(session, visitor.name)
    trouble = "" if passwords.matches(old, person.password) else WRONG
    if not trouble and new != again:
        trouble = DIFFER
    try:
        hashed = "" if trouble else passwords.hash(new, visitor.name)
    except UserError as error:
        trouble = sentence(error)
    if trouble:
        said = translate(language_of(request), trouble)
        return render(request, "account.html", status=400, person=person, trouble=said)
    with database.write() as session:
        persons.set_password(session, visitor.name, hashed)
        record(session, visitor.name, "password", detail="own", address=visitor.address)
        return welcome(request, settings, session, visitor.name, "/account", "new password")
