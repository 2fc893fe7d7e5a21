"""A real browser on a real server: the system's Chromium by Playwright, and every request that it makes."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-quic", "--no-first-run", "--disable-gpu",
    "--enable-unsafe-swiftshader", "--disable-dev-shm-usage",
)  # fmt: skip


def missing() -> str:
    """Why there is no browser, or empty."""
    if CHROMIUM is None:
        return "there is no Chromium (tests/servers/install.sh installs it)"
    try:
        import playwright  # noqa: F401
    except ModuleNotFoundError:
        return "Playwright is not installed (pip install playwright)"
    return ""


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The application on a free port of this machine alone, for the block; its address."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    waited = threading.Event()
    while not server.started and thread.is_alive():
        waited.wait(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@dataclass
class Seen:
    """What a page asked for elsewhere, and what it complained of."""

    elsewhere: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self, context: Any) -> None:
        def asked(request: Any) -> None:
            parts = urlsplit(request.url)
            if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
                self.elsewhere.append(request.url)

        context.on("request", asked)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", self._hear)

    def _hear(self, said: Any) -> None:
        """All errors but that an answer was 400 or 404, which a test may have asked for."""
        if said.type == "error" and not re.search("status of 40[04]", said.text):
            self.complaints.append(said.text)
