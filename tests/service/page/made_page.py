"""An application with people, and browsers that are logged in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient

from secondread.service.page.app import create_app
from secondread.service.page.people import persons
from secondread.service.page.people.passwords import Passwords
from secondread.service.settings.service import ServiceSettings
from secondread.service.store.database import Database
from secondread.service.store.migrate import migrate

HERE = "http://127.0.0.1:8080"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""A hash of a moment: what it costs is argon2's affair and nothing that is tested here."""
PEOPLE = ("viewer", "reader", "administrator")
"""Each has its role for a name, and `password_of` it."""


def password_of(name: str) -> str:
    return f"the password of {name}"


@dataclass
class Page:
    """An application with one person of each role."""

    app: FastAPI
    database: Database
    settings: ServiceSettings

    def client(self, *, raises: bool = True) -> TestClient:
        return TestClient(self.app, HERE, follow_redirects=False, raise_server_exceptions=raises)

    def logged_in(self, name: str) -> Browser:
        browser = Browser(self.client(), "")
        answer = browser.log_in(name, password_of(name))
        assert answer == 303
        return browser


@dataclass
class Browser:
    """A client with a session and its CSRF token."""

    client: TestClient
    csrf: str

    def log_in(self, name: str, password: str, where: str = "/") -> int:
        form = self.client.get("/login")
        data = {"name": name, "password": password, "csrf": token_in(form.text), "next": where}
        answer = self.client.post("/login", data=data)
        if answer.status_code == 303:
            self.csrf = token_in(self.client.get("/account").text)
        return answer.status_code


def token_in(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found, page
    return found[1]


def made_page(folder: Path, database_url: str = "", **page: object) -> Page:
    """With as many logins and requests a minute as tests make, unless `page` says otherwise."""
    settings = ServiceSettings.model_validate(
        {
            "spool": str(folder),
            "database": database_url,
            "bundles": [{"bundle": "bundle", "name": "chest"}],
            "page": {"logins_per_min": 1000, "requests_per_min": 1_000_000, **page},
        }
    )
    database = Database(settings.database_url)
    migrate(database)
    passwords = Passwords(QUICK)
    with database.write() as session:
        for role in persons.ROLES:
            persons.add(session, role, role, password=passwords.hash(password_of(role)))
    return Page(create_app(settings, database, hasher=QUICK), database, settings)
