"""Logins and sessions against whoever would take one over."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from made_page import HERE, QUICK, Browser, Page, made_page, password_of, token_in
from sqlalchemy import select, update

from secondread.errors import UserError
from secondread.service.page.guards.rate import Rate, neighbourhood
from secondread.service.page.people import changes, persons
from secondread.service.page.people.passwords import Passwords
from secondread.service.page.routes.login import inside
from secondread.service.store.tables import Audit, LoginSession, Person


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Three tries a minute."""
    found = made_page(tmp_path_factory.mktemp("strict"), logins_per_min=3)
    yield found
    found.database.close()


def is_in(browser: Browser) -> bool:
    return browser.client.get("/account").status_code == 200


def test_a_login_makes_a_token_of_its_own_and_ends_the_one_before(page: Page) -> None:
    browser = Browser(page.client(), "")
    browser.client.cookies.set("secondread", "chosen-by-somebody-else", "127.0.0.1", "/")
    assert browser.log_in("viewer", password_of("viewer")) == 303
    first = browser.client.cookies["secondread"]
    assert first != "chosen-by-somebody-else"
    with page.database.read() as session:
        kept = session.get(LoginSession, hashlib.sha256(first.encode()).hexdigest())
        assert kept is not None
        assert session.get(LoginSession, first) is None, "the token itself is nowhere"
    form = browser.client.get("/login")
    assert form.status_code == 303, "whoever is logged in needs no form"
    answer = browser.client.post("/account/password", data={
        "csrf": browser.csrf, "old": password_of("viewer"), "new": "another long word",
        "again": "another long word",
    })  # fmt: skip
    assert answer.status_code == 303
    assert browser.client.cookies["secondread"] != first
    old = Browser(page.client(), "")
    old.client.cookies.set("secondread", first, "127.0.0.1", "/")
    assert not is_in(old)
    with page.database.write() as session:
        persons.set_password(session, "viewer", Passwords(QUICK).hash(password_of("viewer")))


def test_a_session_ends_after_its_idle_time_after_its_hours_and_when_the_clock_is_odd(page: Page) -> None:
    for column, shift, remains in (
        (LoginSession.last_seen, -timedelta(minutes=29), True),
        (LoginSession.last_seen, -timedelta(minutes=31), False),
        (LoginSession.last_seen, timedelta(minutes=31), False),
        (LoginSession.expires, -timedelta(hours=12, minutes=1), False),
    ):
        browser = page.logged_in("reader")
        token = hashlib.sha256(browser.client.cookies["secondread"].encode()).hexdigest()
        with page.database.write() as session:
            row = session.get(LoginSession, token)
            assert row is not None
            moved = {column.key: getattr(row, column.key) + shift}
            session.execute(update(LoginSession).where(LoginSession.token == token).values(moved))
        assert is_in(browser) is remains
        with page.database.read() as session:
            assert (session.get(LoginSession, token) is not None) is remains


def test_a_person_who_is_disabled_or_has_a_new_password_is_out_everywhere(page: Page) -> None:
    first, second = page.logged_in("reader"), page.logged_in("reader")
    changes.carry_out(page.database, changes.Disable("reader"), "[test]")
    assert not is_in(first)
    assert not is_in(second)
    assert Browser(page.client(), "").log_in("reader", password_of("reader")) == 401
    changes.carry_out(page.database, changes.Enable("reader"), "[test]")
    third = page.logged_in("reader")
    hash_quickly = Passwords(QUICK).hash
    changes.carry_out(
        page.database, changes.SetPassword("reader", hash_quickly, password_of("reader")), "[test]"
    )
    assert not is_in(third)
    assert is_in(page.logged_in("reader"))


def test_a_role_counts_from_the_next_request_on(page: Page) -> None:
    browser = page.logged_in("administrator")
    with page.database.write() as session:
        persons.add(session, "second", "administrator")
    assert browser.client.get("/people").status_code == 200
    changes.carry_out(page.database, changes.SetRole("administrator", "reader"), "[test]")
    assert browser.client.get("/people").status_code == 403
    changes.carry_out(page.database, changes.SetRole("administrator", "administrator"), "[test]")
    with page.database.write() as session:
        session.delete(persons.find(session, "second"))
        session.flush()
        with pytest.raises(UserError, match="last administrator"):
            persons.disable(session, "administrator")


def test_a_login_needs_the_form_that_this_browser_was_given(page: Page) -> None:
    client = page.client()
    data = {"name": "viewer", "password": password_of("viewer")}
    assert client.post("/login", data=data).status_code == 403
    assert client.post("/login", data={**data, "csrf": "x"}).status_code == 403
    theirs = token_in(page.client().get("/login").text)
    client.get("/login")
    assert client.post("/login", data={**data, "csrf": theirs}).status_code == 403
    csrf = token_in(client.get("/login").text)
    evil = {"origin": "https://evil.example"}
    assert client.post("/login", data={**data, "csrf": csrf}, headers=evil).status_code == 403
    assert client.post("/login", data={**data, "csrf": csrf}).status_code == 303


def test_cookies_are_out_of_reach_of_scripts_and_of_other_sites(page: Page) -> None:
    client = page.client()
    form = client.get("/login")
    assert form.headers["set-cookie"].endswith("; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict")
    data = {"name": "viewer", "password": password_of("viewer"), "csrf": token_in(form.text)}
    cookies = client.post("/login", data=data).headers.get_list("set-cookie")
    assert cookies[0].startswith("secondread=")
    assert cookies[0].endswith("; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax")


def test_names_that_nobody_has_take_as_long_and_say_as_little(page: Page) -> None:
    costly = Passwords(PasswordHasher(time_cost=4, memory_cost=4096, parallelism=1))
    costly.prepare()
    kept = costly.hash("the right password")

    def seconds(of: str) -> float:
        begun = time.process_time()
        assert not costly.matches("a wrong password", of)
        return time.process_time() - begun

    known, unknown = min(seconds(kept) for _ in range(5)), min(seconds("") for _ in range(5))
    assert 0.5 < unknown / known < 2
    browser = Browser(page.client(), "")
    said = []
    for name in ("viewer", "nobody-here"):
        csrf = token_in(browser.client.get("/login").text)
        answer = browser.client.post("/login", data={"name": name, "password": "wrong", "csrf": csrf})
        said.append((answer.status_code, answer.text.replace(csrf, "")))
    assert said[0] == said[1]
    assert said[0][0] == 401
    with page.database.read() as session:
        rows = session.scalars(select(Audit).order_by(Audit.id.desc()).limit(2)).all()
        assert [(row.person, row.action) for row in rows] == [
            ("", "login failed"),
            ("viewer", "login failed"),
        ]
        assert "nobody-here" not in rows[0].detail, "somebody may have typed a password there"


def test_a_hash_of_older_costs_is_made_anew_at_a_login(page: Page) -> None:
    older = Passwords(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    with page.database.write() as session:
        persons.find(session, "viewer").password = older.hash(password_of("viewer"))
    page.logged_in("viewer")
    with page.database.read() as session:
        kept = session.get(Person, "viewer")
        assert kept is not None
        assert not Passwords(QUICK).is_outdated(kept.password)
    page.logged_in("viewer")


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "A-Long-Name-Here", "x" * 1001])
def test_passwords_that_are_guessed_at_once_are_not_taken(password: str) -> None:
    with pytest.raises(UserError):
        Passwords(QUICK).hash(password, "a-long-name-here")


def test_an_umlaut_is_the_same_on_every_keyboard() -> None:
    passwords = Passwords(QUICK)
    assert passwords.matches("u\u0308ber alle Berge", passwords.hash("\u00fcber alle Berge"))


def test_guessing_is_held_back_by_address_and_by_name(strict: Page) -> None:
    browser = Browser(strict.client(), "")
    tries = [browser.log_in("viewer", "wrong") for _ in range(4)]
    assert tries == [401, 401, 401, 429]
    assert browser.log_in("viewer", password_of("viewer")) == 429
    strict.app.state.logins = Rate(3)
    for _ in range(3):
        assert strict.app.state.logins.wait_s("as viewer") == 0
    answer = browser.client.post(
        "/login",
        data={"name": "VIEWER", "password": "x", "csrf": token_in(browser.client.get("/login").text)},
    )
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    strict.app.state.logins = Rate(3)
    assert browser.log_in("viewer", password_of("viewer")) == 303


def test_a_bucket_fills_evenly_and_a_household_is_one_address() -> None:
    rate = Rate(60)
    assert [rate.wait_s("a") for _ in range(60)] == [0.0] * 60
    assert 0 < rate.wait_s("a") <= 1
    assert rate.wait_s("b") == 0
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::2") != neighbourhood("2001:db8:0:1::1")
    assert neighbourhood("::ffff:10.0.0.1") == neighbourhood("10.0.0.1")


@pytest.mark.parametrize(
    "where",
    [
        "//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "https:evil.example",
        "javascript:alert(1)", "/%0d%0aset-cookie:x", "/a\r\nb", "///evil.example", "/login", "/logout", "",
        "x", " //evil.example", "/\t/evil.example",
    ],
)  # fmt: skip
def test_a_login_leads_nowhere_else(page: Page, where: str) -> None:
    assert inside(where) in ("/", "/%0d%0aset-cookie:x")
    client = page.client()
    csrf = token_in(client.get("/login").text)
    data = {"name": "viewer", "password": password_of("viewer"), "csrf": csrf, "next": where}
    answer = client.post("/login", data=data)
    assert answer.status_code == 303
    assert answer.headers["location"] in ("/", "/%0d%0aset-cookie:x")
    assert client.get("/login", params={"next": where}).headers["location"].startswith("/")


def test_a_login_leads_back_to_the_page_that_was_asked_for(page: Page) -> None:
    client = page.client()
    answer = client.get("/account?a=1&b=2", headers={"accept": "text/html"})
    form = client.get(answer.headers["location"])
    assert 'value="/account?a=1&amp;b=2"' in form.text
    assert inside("/account?a=1&b=2") == "/account?a=1&b=2"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200), ("localhost", 200), ("[::1]:8080", 200), ("evil.example", 400), ("", 400),
        ("127.0.0.1.evil.example", 400), ("127.0.0.1@evil.example", 400), ("[", 400),
    ],
)  # fmt: skip
def test_the_page_answers_to_its_own_names_alone(page: Page, host: str, status: int) -> None:
    assert page.client().get("/login", headers={"host": host}).status_code == status


def test_behind_a_proxy_its_public_origin_alone_may_post(tmp_path: Path) -> None:
    found = made_page(
        tmp_path, behind_proxy=True, public_url="https://worklist.example", hosts=["secondread"]
    )
    client = found.client()
    own = {"host": "worklist.example", "origin": "https://worklist.example"}
    assert client.get("/login", headers={"host": "secondread:8080"}).status_code == 200
    cookie = client.get("/login", headers=own).headers["set-cookie"]
    assert cookie.startswith("__Host-secondread-form=")
    assert cookie.endswith("; Secure")
    assert client.post("/login", headers={**own, "origin": HERE}).status_code == 403
    assert client.post("/login", headers=own).status_code == 422, "past the guard: the form is empty"
    found.database.close()
