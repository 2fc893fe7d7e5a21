"""Logging in and out by name and password."""

from __future__ import annotations

from made_page import Page
from sqlalchemy import select

from secondread.service.store.audit import verify
from secondread.service.store.tables import Audit


def test_a_person_logs_in_and_out(page: Page) -> None:
    browser = page.logged_in("reader")
    assert "reader" in browser.client.get("/account").text
    assert browser.client.post("/logout", data={"csrf": browser.csrf}).status_code == 303
    assert not browser.client.cookies.get("secondread")
    with page.database.read() as session:
        said = [row.action for row in session.scalars(select(Audit).order_by(Audit.id))]
        assert said[-2:] == ["logged in", "logged out"]
        assert verify(session).whole
