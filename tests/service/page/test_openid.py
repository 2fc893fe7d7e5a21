"""Logging in by OpenID Connect, at a provider that is a process of its own."""

from __future__ import annotations

import base64
import hmac
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import RSAKey
from made_page import Page, made_page
from sqlalchemy import select

from secondread.service.page.openid.identity import Refused, claims_of, name_of, role_of
from secondread.service.page.openid.provider import Away, Provider
from secondread.service.page.people import changes, persons
from secondread.service.settings.page import OpenIdSettings
from secondread.service.store.tables import Audit, Person

pytest.importorskip("oidc_provider_mock", reason="oidc-provider-mock is not installed")
ROLES = {"radiology": "reader", "it": "administrator", "students": "viewer"}


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = Path(__file__).with_name("openid_provider.py")
    process = subprocess.Popen([sys.executable, str(script), str(port)])
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            assert process.poll() is None
            try:
                httpx.get(f"{url}/.well-known/openid-configuration").raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@dataclass
class House:
    """The page, and the provider that it asks."""

    page: Page
    issuer: str

    def person(self, subject: str, **claims: object) -> str:
        httpx.put(f"{self.issuer}/users/{subject}", json=claims).raise_for_status()
        return subject

    def begun(self, client: TestClient, where: str = "/account") -> str:
        answer = client.get("/login/openid", params={"next": where})
        assert answer.status_code == 303
        return answer.headers["location"]

    def brought_back(self, url: str, subject: str) -> str:
        """What the provider sends the browser back with."""
        answer = httpx.post(url, data={"sub": subject})
        assert answer.status_code == 302, answer.text
        back = urlsplit(answer.headers["location"])
        return f"{back.path}?{back.query}"

    def log_in(self, subject: str) -> tuple[int, TestClient]:
        client = self.page.client()
        answer = client.get(self.brought_back(self.begun(client), subject))
        return answer.status_code, client

    def last(self) -> Audit:
        with self.page.database.read() as session:
            return session.scalars(select(Audit).order_by(Audit.id.desc()).limit(1)).one()


@pytest.fixture(scope="module")
def house(issuer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("openid")
    (folder / "secret").write_text("the client's secret\n")
    asked = {"issuer": issuer, "client": "secondread", "secret_file": str(folder / "secret"), "roles": ROLES}
    page = made_page(folder, open_id=asked)
    yield House(page, issuer)
    page.database.close()


def test_somebody_comes_in_with_the_role_of_the_claim(house: House) -> None:
    ada = house.person("ada-1", preferred_username="ada", groups=["students", "radiology", "other"])
    client = house.page.client()
    url = house.begun(client)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["state"]) >= 43
    assert len(asked["nonce"]) >= 43
    assert asked["scope"] == "openid profile email"
    assert asked["redirect_uri"] == "http://127.0.0.1:8080/login/openid/back"
    answer = client.get(house.brought_back(url, ada))
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert "ada" in client.get("/account").text
    with house.page.database.read() as session:
        person = session.get(Person, "ada")
        assert person is not None
        assert (person.role, person.subject, person.password) == ("reader", f"{house.issuer} ada-1", "")
    assert (house.last().action, house.last().detail) == ("logged in", "by OpenID Connect")
    house.person("ada-1", preferred_username="ada.married", groups=["it"])
    assert house.log_in(ada)[0] == 303
    with house.page.database.read() as session:
        person = session.get(Person, "ada")
        assert person is not None, "the subject counts, not the name"
        assert person.role == "administrator"


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"preferred_username": "bob", "groups": ["kitchen"]}, "no value that has a role"),
        ({"preferred_username": "bob"}, "no value that has a role"),
        ({"preferred_username": "administrator", "groups": ["it"]}, "another person has the name"),
        ({"preferred_username": "VIEWER", "groups": ["it"]}, "another person has the name"),
    ],
)
def test_who_has_no_role_or_another_s_name_is_refused(
    house: House, claims: dict[str, object], said: str
) -> None:
    status, client = house.log_in(house.person("bob-1", **claims))
    assert status == 403
    assert client.get("/account").status_code == 401
    assert said in house.last().detail


def test_who_is_disabled_here_stays_out(house: House) -> None:
    eve = house.person("eve-1", preferred_username="eve", groups=["students"])
    status, client = house.log_in(eve)
    assert status == 303
    changes.carry_out(house.page.database, changes.Disable("eve"), "[test]")
    assert client.get("/account").status_code == 401
    assert house.log_in(eve)[0] == 403
    assert "disabled" in house.last().detail


def test_a_state_is_good_once_and_in_its_own_browser(house: House) -> None:
    zoe = house.person("zoe-1", preferred_username="zoe", groups=["students"])
    client = house.page.client()
    back = house.brought_back(house.begun(client), zoe)
    cookies = dict(client.cookies)
    assert client.get(back).status_code == 303
    replay = house.page.client()
    for name, value in cookies.items():
        replay.cookies.set(name, value)
    assert replay.get(back).status_code == 403
    assert "not begun here" in house.last().detail
    victim = house.page.client()
    house.begun(victim)
    theirs = house.brought_back(house.begun(house.page.client()), zoe)
    assert victim.get(theirs).status_code == 403
    assert "in another browser" in house.last().detail
    made_up = house.page.client()
    house.begun(made_up)
    assert made_up.get("/login/openid/back?code=x&state=y").status_code == 403


def test_a_code_that_is_none_or_was_taken_or_an_error_is_refused(house: House) -> None:
    for extra in ("code=made-up", "error=access_denied"):
        client = house.page.client()
        state = parse_qs(urlsplit(house.begun(client)).query)["state"][0]
        assert client.get(f"/login/openid/back?state={state}&{extra}").status_code == 403
    client = house.page.client()
    first = house.brought_back(house.begun(client), house.person("zoe-1"))
    other = house.page.client()
    state = parse_qs(urlsplit(house.begun(other)).query)["state"][0]
    code = parse_qs(urlsplit(first).query)["code"][0]
    assert other.get(f"/login/openid/back?state={state}&code={code}").status_code == 403, "PKCE"


def test_a_login_that_took_too_long_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client = house.page.client()
    monkeypatch.setattr("secondread.service.page.openid.provider.LOGIN_S", -1.0)
    back = house.brought_back(house.begun(client), house.person("zoe-1"))
    assert client.get(back).status_code == 403
    assert "took too long" in house.last().detail


def test_a_password_never_opens_what_openid_does(house: House) -> None:
    house.log_in(house.person("ada-1", preferred_username="ada", groups=["it"]))
    with house.page.database.write() as session, pytest.raises(Exception, match="has no password here"):
        persons.set_password(session, "ada", "x")
    assert not house.page.app.state.passwords.matches("", "")


def test_a_provider_that_is_away_or_another_is_told(tmp_path: Path, house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    page = made_page(tmp_path, open_id={"issuer": url, "client": "x", "roles": ROLES})
    assert page.client().get("/login/openid").status_code == 503
    page.database.close()
    other = house.issuer.replace("127.0.0.1", "localhost") + "/"
    with pytest.raises(Away, match="another issuer"):
        Provider(OpenIdSettings(issuer=other, client="x", roles={"it": "viewer"})).begin("/", "http://x/")
    assert house.page.client().get("/login").text.count("/login/openid?next=") == 1


KEY, FOREIGN = RSAKey.generate_key(2048, {"kid": "1"}), RSAKey.generate_key(2048, {"kid": "1"})
KEYS = {"keys": [KEY.as_dict(private=False)]}
SETTINGS = OpenIdSettings(issuer="https://id.example", client="secondread", roles={"it": "administrator"})
AT = 1_800_000_000
GOOD = {
    "iss": "https://id.example", "aud": "secondread", "sub": "7", "exp": AT + 300, "iat": AT, "nonce": "n",
}  # fmt: skip


def signed(key: RSAKey = KEY, **changed: object) -> str:
    claims = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}
    return jwt.encode({"alg": "RS256", "kid": "1"}, claims, key, algorithms=["RS256"])


def confused() -> str:
    """Signed with the issuer's public key as if it were a shared secret."""
    _, claims, _ = signed().split(".")
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"1"}').decode().rstrip("=")
    digest = hmac.digest(KEY.as_pem(private=False), f"{header}.{claims}".encode(), "sha256")
    return f"{header}.{claims}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def test_a_right_token_is_believed() -> None:
    assert claims_of(signed(), KEYS, SETTINGS, "n", at=AT)["sub"] == "7"
    both = signed(aud=["secondread", "other"], azp="secondread")
    assert claims_of(both, KEYS, SETTINGS, "n", at=AT)["sub"] == "7"


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (signed(FOREIGN), "not signed by the issuer"),
        (signed()[:-8] + "AAAAAAAA", "not signed"),
        (confused(), "not signed"),
        ("eyJhbGciOiJub25lIn0." + signed().split(".")[1] + ".", "not signed"),
        ("no token", "not signed"),
        (signed(iss="https://evil.example"), "another issuer"),
        (signed(aud="other"), "another client"),
        (signed(aud=["secondread", "other"]), "which client"),
        (signed(azp="other"), "another client"),
        (signed(aud=None), "another client"),
        (signed(exp=AT - 61), "expired"),
        (signed(exp=None), "expired"),
        (signed(exp="later"), "expired"),
        (signed(exp=True), "expired"),
        (signed(iat=AT - 601), "not of this moment"),
        (signed(iat=AT + 61), "not of this moment"),
        (signed(nbf=AT + 61), "not valid yet"),
        (signed(nonce="m"), "another login"),
        (signed(nonce=None), "another login"),
        (signed(sub=None), "names nobody"),
        (signed(sub=""), "names nobody"),
    ],
)
def test_a_token_with_anything_wrong_is_refused(token: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        claims_of(token, KEYS, SETTINGS, "n", at=AT)


def test_a_role_is_one_of_the_mapping_and_a_name_one_that_can_be_used() -> None:
    assert role_of({"groups": "it"}, SETTINGS) == "administrator"
    for said in (None, "IT", ["x"], {"it": 1}, [["it"]], 7):
        with pytest.raises(Refused):
            role_of({"groups": said}, SETTINGS)
    assert name_of({"preferred_username": "<b>", "email": "ada@example.org", "sub": "7"}) == "ada@example.org"
    with pytest.raises(Refused):
        name_of({"sub": "' OR 1=1"})
