"""Bodies of requests: how large, how slow, and never compressed."""

from __future__ import annotations

import asyncio
import time

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from secondread.service.page.guards.refusal import refusal

FORM_BYTES = 1 << 20
"""A form or a message; uploads of instances have the configuration's limit."""
UPLOADS = "/dicom-web/"
PATIENCE_S = 20.0
SLOWEST = 1024.0
"""Bytes a second. A body may take `PATIENCE_S` and so long as this makes of it."""


class Bodies:
    """Refuses what is announced as too large or comes compressed before a byte of it is read, and cuts off
    what turns out so. A compressed body may grow a thousandfold."""

    def __init__(self, app: ASGIApp, upload_bytes: int, *, patience_s: float = PATIENCE_S) -> None:
        self.app = app
        self._uploads = upload_bytes
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        most = self._uploads if scope["path"].startswith(UPLOADS) else FORM_BYTES
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            await refusal(
                415, "Bodies are not taken compressed.", Accept_Encoding="identity", Connection="close"
            )(scope, receive, send)
            return
        announced = headers.get("content-length", "0")
        if not announced.isascii() or not announced.isdigit() or int(announced[:20]) > most:
            await refusal(413, f"At most {most} bytes are taken.", Connection="close")(scope, receive, send)
            return
        got, waited, whole = 0, 0.0, False

        async def measured() -> Message:
            nonlocal got, waited, whole
            if whole:
                return await receive()
            begun = time.monotonic()
            try:
                left = self._patience_s + got / SLOWEST - waited
                message = await asyncio.wait_for(receive(), max(left, 0.001))
            except TimeoutError:
                raise HTTPException(408, "The body came too slowly.", {"Connection": "close"}) from None
            waited += time.monotonic() - begun
            got += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if got > most:
                raise HTTPException(413, f"At most {most} bytes are taken.", {"Connection": "close"})
            return message

        await self.app(scope, measured, send)
