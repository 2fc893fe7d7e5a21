"""A route's answer as a page, in the language of whoever asks.

A template begins with `{% extends "base.html" %}` and fills the blocks `title` and `main`. It knows `visitor`
(a `Visitor`, or None) and `csrf_field()`, which every form with `method="post"` holds. Data for a script goes
into `<script type="application/json" id="…">{{ value|tojson }}</script>`, where `tojson` escapes what would
end it; no script, style or `on…=` stands in a page, as its policy lets none run. Only fixed texts go through
`_()`, never data: what it returns is not escaped again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from secondread.service.page.access import CSRF_FIELD, Visitor, settings_of
from secondread.service.page.language import templates
from secondread.service.page.language.languages import COOKIE, chosen_language


def language_of(request: Request) -> str:
    visitor: Visitor | None = getattr(request.state, "visitor", None)
    return chosen_language(
        visitor.language if visitor else "",
        request.cookies.get(COOKIE, ""),
        request.headers.get("accept-language", ""),
        settings_of(request).page.language,
    )


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    csrf: str | None = None,
    **values: Any,
) -> HTMLResponse:
    """A page of whoever asks. `csrf` is the form's token where nobody is logged in yet."""
    visitor: Visitor | None = getattr(request.state, "visitor", None)
    token = csrf if csrf is not None else (visitor.csrf if visitor else "")

    def csrf_field() -> Markup:
        return Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, token)

    page = templates.render(template, language_of(request), visitor=visitor, csrf_field=csrf_field, **values)
    return HTMLResponse(page, status, headers=dict(headers or {}))
