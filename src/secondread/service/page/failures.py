"""What a browser or a program is told when a request cannot be answered. Nothing of it comes from the
request."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from sqlalchemy.exc import DataError as UnfitForColumn
from starlette.exceptions import HTTPException

from secondread.errors import DataError, UserError
from secondread.service.page.access import NotLoggedIn
from secondread.service.page.language.languages import marked, translate
from secondread.service.page.rendering import language_of, render

TEXTS = {
    400: marked("The request could not be understood."),
    401: marked("Please log in."),
    403: marked("This is not allowed."),
    404: marked("There is nothing here."),
    405: marked("This cannot be done here."),
    422: marked("A value of the request is none that can be used here."),
}
OTHERWISE = marked("The request failed.")


def wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "") and "hx-request" not in request.headers


def to_login(request: Request, _error: Exception) -> Response:
    """A page of a browser leads to the login and back; everything else is told 401."""
    if request.method == "GET" and wants_page(request):
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(asked, safe='')}", 303)
    return told(request, 401, headers={"HX-Redirect": "/login"} if "hx-request" in request.headers else None)


def http_error(request: Request, error: Exception) -> Response:
    """A detail that is a sentence is one of ours, and is told."""
    assert isinstance(error, HTTPException)
    own = error.detail if error.detail.endswith(".") else None
    return told(request, error.status_code, own, dict(error.headers or {}))


def invalid(request: Request, _error: Exception) -> Response:
    return told(request, 422)


def mistake(request: Request, error: Exception) -> Response:
    """UserError and DataError: one line that a person can act on."""
    return told(request, 400, sentence(error))


def sentence(error: Exception) -> str:
    """`this password is too easy` -> `This password is too easy.`"""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def told(
    request: Request, status: int, text: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    text = text or TEXTS.get(status, OTHERWISE)
    if not wants_page(request):
        return PlainTextResponse(f"{text}\n", status, headers=headers)
    text = translate(language_of(request), text)
    return render(request, "message.html", status=status, headers=headers, title=str(status), text=text)


HANDLERS = {
    NotLoggedIn: to_login,
    HTTPException: http_error,
    RequestValidationError: invalid,
    UnfitForColumn: invalid,
    OverflowError: invalid,
    UserError: mistake,
    DataError: mistake,
}
