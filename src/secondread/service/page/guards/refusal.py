"""The answer of a guard that stops a request before any route sees it."""

from __future__ import annotations

from starlette.responses import PlainTextResponse


def refusal(status: int, text: str, **headers: str) -> PlainTextResponse:
    """`headers`: Retry_After="3"."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return PlainTextResponse(f"{text}\n", status, headers=named)
