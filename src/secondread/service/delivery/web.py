"""HTTP: one client for STOW-RS and webhooks, which follows no moves, takes no proxies from the environment,
and reads no endless answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from secondread.service.delivery.outcome import Away, Later, check_answer
from secondread.service.delivery.reach import tls_context, words

LONGEST_ANSWER = 1 << 24


@contextmanager
def web_client(url: str, authority: Path | None, timeout_s: float) -> Iterator[httpx.Client]:
    """Errors of connections become Away, what breaks off later becomes Later."""
    verify: Any = tls_context(authority) if url.startswith("https:") else False
    try:
        with httpx.Client(
            verify=verify, timeout=timeout_s, follow_redirects=False, trust_env=False
        ) as client:
            yield client
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise Away(f"{_host(url)}: {words(error)}") from None
    except httpx.TimeoutException:
        raise Later("no answer in time") from None
    except httpx.HTTPError as error:
        raise Later(f"the connection broke ({type(error).__name__})") from None


def body_of(response: httpx.Response) -> bytes:
    """The answer. Raises Later where it is longer than any such answer."""
    found = bytearray()
    for block in response.iter_bytes():
        found += block
        if len(found) > LONGEST_ANSWER:
            raise Later("the answer is too long")
    return bytes(found)


def ask_options(url: str, authority: Path | None, timeout_s: float, headers: dict[str, str]) -> str:
    """OPTIONS: a server that does not know it is there all the same. Raises Away."""
    with (
        web_client(url, authority, timeout_s) as client,
        client.stream("OPTIONS", url, headers=headers) as response,
    ):
        if response.status_code not in (400, 405, 501):
            try:
                check_answer(response.status_code)
            except Later as error:
                raise Away(error.reason) from None
    return f"OPTIONS, HTTP {response.status_code}"


def _host(url: str) -> str:
    parts = httpx.URL(url)
    return f"{parts.host}:{parts.port}" if parts.port else parts.host
