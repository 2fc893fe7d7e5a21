"""Requests of one address in a minute."""

from __future__ import annotations

import math

from starlette.types import ASGIApp, Receive, Scope, Send

from secondread.service.page.guards.rate import Rate, neighbourhood
from secondread.service.page.guards.refusal import refusal


class Crowd:
    """More than so many a minute from one address are told to wait (429)."""

    def __init__(self, app: ASGIApp, per_minute: int) -> None:
        self.app = app
        self._rate = Rate(per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            address = (scope.get("client") or ("", 0))[0]
            wait = self._rate.wait_s(neighbourhood(address))
            if wait:
                answer = refusal(429, "Too many requests; wait a moment.", Retry_After=str(math.ceil(wait)))
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)
