"""What nobody expected: a line in the log without its text, and a page that says nothing of it."""

from __future__ import annotations

import logging
import traceback

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from secondread.service.page.guards.refusal import refusal
from secondread.service.store.away import is_away
from secondread.terminal.events import log_event, place_in_code


class Crashes:
    """The text of an error may hold a patient's name: its kind and its places in the code are kept alone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            places = [
                place_in_code(at.filename, at.lineno) for at in traceback.extract_tb(error.__traceback__)
            ]
            facts = {"error": type(error).__name__, "at": " < ".join(places[::-1][:6])}
            log_event("page failed", level=logging.ERROR, facts=facts)
            if begun:
                raise RuntimeError("an answer was cut off") from None
            if is_away(error):
                await refusal(503, "The database does not answer; try again soon.", Retry_After="10")(
                    scope, receive, send
                )
            else:
                await refusal(500, "Something went wrong here; the log says where.")(scope, receive, send)
