"""Requests that are too many, too large, too slow or not what they seem; and what is said when all fails."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_page import Page, made_page
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from secondread.service.page.guards.bodies import FORM_BYTES, Bodies


def test_a_body_that_is_announced_or_turns_out_too_large_is_not_read(page: Page) -> None:
    client = page.client()

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(1 << 16)

    assert client.post("/login", content=bytes(FORM_BYTES + 1)).status_code == 413
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/login", content=endless(), headers=form).status_code == 413
    browser = page.logged_in("viewer")
    parts = {"content-type": "multipart/form-data; boundary=x"}
    assert browser.client.post("/logout", content=endless(), headers=parts).status_code == 413
    for odd in ("-1", "1e9", "9" * 40):
        answer = client.post("/login", content=b"x", headers={"content-length": odd})
        assert answer.status_code == 413, odd


def test_a_compressed_body_is_refused_unread(page: Page) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    for coding in ("gzip", "deflate", "br", "GZIP", "identity, gzip"):
        answer = page.client().post("/login", content=bomb, headers={"content-encoding": coding})
        assert answer.status_code == 415, coding


def test_a_form_of_many_fields_or_files_is_refused(page: Page) -> None:
    many = "&".join(f"f{number}=1" for number in range(5000))
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert page.client().post("/login", content=many, headers=form).status_code in (400, 422)


def test_a_body_that_comes_too_slowly_is_cut_off() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        await Request(scope, receive).body()  # type: ignore[arg-type]

    async def never() -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    async def dripping() -> dict[str, object]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(_message: object) -> None:
        return

    scope = {"type": "http", "path": "/login", "method": "POST", "headers": []}
    for source in (never, dripping):
        guarded = Bodies(app, 1000, patience_s=0.1)  # type: ignore[arg-type]
        with pytest.raises(HTTPException) as refused:
            asyncio.run(asyncio.wait_for(guarded(scope, source, send), 5))  # type: ignore[arg-type]
        assert refused.value.status_code == 408


def test_too_many_requests_of_one_address_are_told_to_wait(tmp_path: Path) -> None:
    found = made_page(tmp_path, requests_per_min=10)
    client = found.client()
    answers = [client.get("/static/page.css").status_code for _ in range(12)]
    assert answers == [200] * 10 + [429] * 2
    found.database.close()


def test_a_failure_says_nothing_of_its_text(
    page: Page, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    browser = page.logged_in("administrator")
    caplog.set_level(logging.DEBUG)

    def crash(_session: object) -> None:
        raise RuntimeError("Doe^Jane 1950")

    def away(_session: object) -> None:
        raise OperationalError("select Doe^Jane", {}, Exception("gone"))

    for failure, status in ((crash, 500), (away, 503)):
        monkeypatch.setattr("secondread.service.page.routes.people.persons.everybody", failure)
        answer = browser.client.get("/people", headers={"accept": "text/html"})
        assert answer.status_code == status
        assert "Doe" not in answer.text
        assert "Traceback" not in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "Doe" not in caplog.text
    record = next(one for one in caplog.records if one.message == "page failed")
    assert record.facts["error"] == "RuntimeError"  # type: ignore[attr-defined]


def test_errors_repeat_nothing_of_the_request(page: Page) -> None:
    client = page.client()
    for path in ("/<script>", "/docs", "/redoc", "/openapi.json"):
        answer = client.get(path, headers={"accept": "text/html"})
        assert answer.status_code == 404
        assert "script>" not in answer.text.replace("</script>", "")
    answer = client.request("TRACE", "/login")
    assert answer.status_code == 405
    browser = page.logged_in("administrator")
    answer = browser.client.get("/audit", params={"before": "<b>Doe</b>"})
    assert answer.status_code == 422
    assert "Doe" not in answer.text
