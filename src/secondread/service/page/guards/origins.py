"""By which names this page may be asked, and from which pages it may be posted to."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from secondread.service.page.guards.refusal import refusal
from secondread.service.settings.page import PageSettings, is_loopback

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def names_of(settings: PageSettings) -> frozenset[str]:
    """Hosts that a request may name, without ports: another one is a page elsewhere whose name was pointed
    here (DNS rebinding), or a poisoned cache."""
    names = {settings.address, *settings.hosts, urlsplit(settings.public_url).hostname or ""}
    if is_loopback(settings.address):
        names.update(LOOPBACK)
    return frozenset(name.lower().strip("[]") for name in names if name)


class Origins:
    """Refuses requests by a foreign name (400), and unsafe ones from a foreign page (403).

    A browser says of each unsafe request where it comes from, by `Sec-Fetch-Site` or `Origin`; one that says
    neither is no browser of today, and still needs its token.
    """

    def __init__(self, app: ASGIApp, settings: PageSettings) -> None:
        self.app = app
        self._names = names_of(settings)
        public = urlsplit(settings.public_url)
        self._public = f"{public.scheme}://{public.netloc}".lower() if settings.public_url else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        named = headers.getlist("host")
        try:
            host = (urlsplit(f"//{named[0]}").hostname or "") if len(named) == 1 else ""
        except ValueError:
            host = ""
        if host not in self._names:
            answer = refusal(
                400, "This service is not known by that name; see page.public_url and page.hosts."
            )
            await answer(scope, receive, send)
            return
        if scope["method"] not in SAFE and not self._is_own(headers, f"{scope['scheme']}://{named[0]}"):
            await refusal(403, "The request came from another site.")(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_own(self, headers: Headers, asked: str) -> bool:
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        own = self._public or asked.lower()
        return headers.get("origin", own).lower() == own
