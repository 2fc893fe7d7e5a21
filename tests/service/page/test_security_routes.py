"""Every route of the page, from the table of routes itself: who may use it, and what no parameter can do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from urllib.parse import quote

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from made_page import Browser, Page
from sqlalchemy import func, select
from starlette.routing import Mount

from secondread.service.page.access import Access
from secondread.service.page.app import ROUTERS, access_of, create_app
from secondread.service.page.guards.origins import SAFE
from secondread.service.page.language.templates import TEMPLATES
from secondread.service.page.people.persons import ROLES
from secondread.service.page.study.views import Views
from secondread.service.page.worklist.asked import Asked
from secondread.service.store.jobs import now
from secondread.service.store.tables import Audit, Instance, Person, Reading, Study

OPEN = {
    "/login",
    "/login/openid",
    "/login/openid/back",
    "/language",
    "/health/live",
    "/health/ready",
    "/metrics",
}
"""Routes for everybody. Nothing of a patient is there; whoever adds one has looked."""
OWN = {"/logout", "/account/password"}
"""What a viewer may change: of himself."""
CHANGES_NOTHING = {"/studies/search"}
"""Posted, so that what is searched for stands in no address."""
READS_ITSELF = {"/studies": [field.name for field in fields(Asked)] + ["q"]}
"""Parameters that a route takes from the query on its own."""
NASTY = """'"><script>alert(1)</script><img src=x onerror=alert(1)>"""
INJECTIONS = ("' OR '1'='1' --", "1; DROP TABLE study; --", '") UNION SELECT password FROM person --')
TRAVERSALS = (
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/access.py",
    "....//access.py",
)


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    word: str
    route: APIRoute

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def filled(self, value: str = "1") -> str:
        return re.sub(r"{.*?}", quote(value, safe=""), self.path)


def calls() -> list[Call]:
    found = []
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            access = access_of(route)
            assert access is not None, route.path
            found += [Call(one, route.path, access.word, route) for one in sorted(route.methods)]
    return found


ALL = calls()
every_call = pytest.mark.parametrize("call", ALL, ids=str)
BY_COOKIE = [call for call in ALL if call.word in ROLES]
UNSAFE = [call for call in BY_COOKIE if call.method not in SAFE]


@pytest.fixture(scope="module")
def browsers(page: Page) -> dict[str, Browser]:
    return {role: page.logged_in(role) for role in ROLES}


@pytest.fixture(scope="module", autouse=True)
def study(page: Page) -> None:
    """A study whose every text is an attack."""
    at = now()
    with page.database.write() as session:
        session.add(
            Study(
                id=1, study_uid="1.2.3", state="read", revision=1, instances=1, patient_id=NASTY,
                patient_name=NASTY, birth_date=NASTY, sex=NASTY, accession=NASTY, study_date=NASTY,
                description=NASTY, modality=NASTY, first_received=at, last_received=at, bundle="chest",
                score=1.0, p_value=0.01, flagged=True, read_at=at, reason=NASTY,
            )
        )  # fmt: skip
        session.flush()
        image = {"instance": NASTY, "score": 1.0, "p_value": 0.01, "flagged": True, "error": NASTY}
        session.add(
            Reading(
                id=1, study_id=1, revision=1, bundle="chest", bundle_digest="0" * 64, score=1.0, p_value=0.01,
                flagged=True, threshold=0.5, false_alarm_rate=0.05, worst=NASTY, images=[image],
                scanner=NASTY, facts={"body_part": NASTY, "view": NASTY},
                folder="readings/0", at=at,
            )
        )  # fmt: skip
        session.add(
            Instance(
                study_id=1, sop_instance_uid=NASTY, sop_class_uid="1.2", series_uid="1.2.3.4",
                path="instances/0/0/0-0.dcm", size=1, digest="0" * 64, revision=1, received=at,
            )
        )  # fmt: skip


def test_every_route_says_who_may_use_it(page: Page) -> None:
    mounted = [route for route in page.app.routes if not isinstance(route, APIRoute)]
    assert [route.path for route in mounted if isinstance(route, Mount)] == ["/static"]
    assert len(mounted) == 1
    assert len(page.app.routes) - 1 == sum(len(router.routes) for router in ROUTERS)
    for call in ALL:
        assert call.word in (*ROLES, "sender", "anyone"), call
        assert (call.word == "anyone") <= (call.path in OPEN), (
            f"{call}: list it in OPEN once it was looked at"
        )
    assert {call.path for call in UNSAFE if call.word == "viewer"} <= OWN | CHANGES_NOTHING


def test_a_route_that_says_nothing_stops_the_application(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi import APIRouter

    forgotten = APIRouter()
    forgotten.add_api_route("/forgotten", lambda: "seen")
    monkeypatch.setattr("secondread.service.page.app.ROUTERS", (*ROUTERS, forgotten))
    with pytest.raises(ValueError, match="/forgotten: say require"):
        create_app(page.settings, page.database)


@every_call
def test_nobody_who_is_not_logged_in_gets_past_the_door(page: Page, call: Call) -> None:
    if call.word == "anyone":
        pytest.skip("for everybody")
    with page.client() as client:
        answer = client.request(call.method, call.filled(), headers={"accept": "text/html"})
        if call.method == "GET":
            assert (answer.status_code, answer.headers["location"][:12]) == (303, "/login?next=")
            assert client.get(call.filled()).status_code == 401
        else:
            assert answer.status_code == 401
        assert "alert(1)" not in answer.text


@pytest.mark.parametrize("call", BY_COOKIE, ids=str)
def test_a_role_that_is_too_low_is_refused(call: Call, browsers: dict[str, Browser]) -> None:
    for role in ROLES[: ROLES.index(call.word)]:
        browser = browsers[role]
        answer = browser.client.request(call.method, call.filled(), headers={"x-csrf-token": browser.csrf})
        assert answer.status_code == 403, role


@pytest.mark.parametrize("call", UNSAFE, ids=str)
def test_no_other_page_can_make_a_browser_change_anything(call: Call, browsers: dict[str, Browser]) -> None:
    browser = browsers["administrator"]
    other = browsers["reader"].csrf
    right = {"x-csrf-token": browser.csrf}
    for headers in (
        {},
        {"x-csrf-token": ""},
        {"x-csrf-token": other},
        {**right, "origin": "https://evil.example"},
        {**right, "origin": "null"},
        {**right, "sec-fetch-site": "cross-site"},
        {**right, "sec-fetch-site": "same-site"},
    ):
        answer = browser.client.request(call.method, call.filled(), headers=headers)
        assert answer.status_code == 403, headers
    for data in ({}, {"csrf": other}, {"csrf": ""}):
        assert browser.client.request(call.method, call.filled(), data=data).status_code == 403


def parameters(dependant: Dependant) -> Iterator[tuple[str, str]]:
    for where in ("path", "query", "body", "header", "cookie"):
        for one in getattr(dependant, f"{where}_params"):
            yield where, one.alias
    for below in dependant.dependencies:
        if not isinstance(below.call, Access):
            yield from parameters(below)


def parameters_of(call: Call) -> list[tuple[str, str]]:
    more = [("query", name) for name in READS_ITSELF.get(call.path, ())]
    return list(dict.fromkeys([*parameters(call.route.dependant), *more]))


@cache
def pairs() -> list[tuple[Call, str, str]]:
    return [
        (call, where, name)
        for call in BY_COOKIE
        for where, name in parameters_of(call)
        if call.path not in OWN
    ]


@pytest.mark.parametrize(("call", "where", "name"), pairs(), ids=lambda one: str(one))
def test_no_parameter_reaches_the_database_as_text(
    page: Page, browsers: dict[str, Browser], call: Call, where: str, name: str
) -> None:
    browser = browsers["administrator"]
    for text in (*INJECTIONS, "\x00", "9" * 40):
        path = call.filled(text) if where == "path" else call.filled()
        answer = browser.client.request(
            call.method,
            path,
            params={name: text} if where == "query" else None,
            data={name: text} if where == "body" else None,
            headers={"x-csrf-token": browser.csrf, "accept": "text/html"},
        )
        assert answer.status_code < 500, text
        assert "$argon2" not in answer.text
    with page.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Study)) == 1
        assert session.scalar(select(func.count()).select_from(Person)) == len(ROLES)


@pytest.mark.parametrize("call", [call for call in ALL if "{" in call.path], ids=str)
def test_no_path_leads_out_of_the_spool(browsers: dict[str, Browser], call: Call) -> None:
    browser = browsers["administrator"]
    for text in TRAVERSALS:
        path = re.sub(r"{.*?}", text, call.path)
        answer = browser.client.request(call.method, path, headers={"x-csrf-token": browser.csrf})
        assert answer.status_code in (400, 401, 403, 404, 405, 422), text
        assert "root:" not in answer.text


@pytest.mark.parametrize("text", TRAVERSALS)
def test_static_files_are_those_of_their_folder_alone(page: Page, text: str) -> None:
    answer = page.client().get(f"/static/{text}")
    assert answer.status_code == 404
    assert "import" not in answer.text


@pytest.mark.parametrize("call", [call for call in BY_COOKIE if call.method == "GET"], ids=str)
def test_what_a_patient_is_called_is_text_on_every_page(browsers: dict[str, Browser], call: Call) -> None:
    browser = browsers["administrator"]
    queries = {name: NASTY for where, name in parameters_of(call) if where == "query"}
    for params in (None, queries):
        answer = browser.client.get(call.filled(), params=params, headers={"accept": "text/html"})
        kind = answer.headers.get("content-type", "")
        if "html" in kind:
            assert "<script>alert" not in answer.text
            assert "<img src=x" not in answer.text
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store" or not answer.text.count("alert(1)")
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "call", [call for call in BY_COOKIE if call.method == "GET" and "{study}" in call.path], ids=str
)
def test_whatever_is_seen_of_a_study_is_in_the_audit(
    page: Page, browsers: dict[str, Browser], call: Call
) -> None:
    views = select(func.count()).where(Audit.person == "viewer", Audit.study_uid == "1.2.3")
    page.app.state.views = Views()
    with page.database.read() as session:
        before = session.scalar(views)
    for _ in range(2):
        path = call.path.replace("{study}", "1").replace("{key}", "1-0")
        assert browsers["viewer"].client.get(path).status_code in (200, 404, 410)
    with page.database.read() as session:
        assert session.scalar(views) == before + (2 if call.path == "/studies/{study}" else 1)


def test_templates_hold_no_script_no_style_and_nothing_unescaped() -> None:
    for file in TEMPLATES.glob("**/*.html"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape|Markup", text), file.name
        plain = re.sub(r"{%.*?%}|{{.*?}}", "", text, flags=re.DOTALL)
        assert not re.search(r"<[^>]*\s(on\w+|style)\s*=", plain), file.name
        assert "<style" not in text, file.name
        for script in re.findall(r"<script\b[^>]*>", text):
            assert " src=" in script or 'type="application/json"' in script, f"{file.name}: {script}"
        assert not re.search(r"""(src|href|action)\s*=\s*["'](https?:)?//""", text), f"{file.name}: leaves"
        posts = re.findall(r"""<form[^>]*method="post"[^>]*>(.*?)</form>""", text, flags=re.DOTALL)
        for form in posts:
            assert "csrf" in form, f"{file.name}: a form without its token"
