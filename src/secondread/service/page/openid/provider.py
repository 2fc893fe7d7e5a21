"""An OpenID Connect provider, asked by the authorization code flow with PKCE (RFC 7636), state and nonce."""

from __future__ import annotations

import hmac
import logging
import secrets
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client

from secondread.errors import UserError
from secondread.service.page.openid.identity import Refused, UnknownKey, claims_of, name_of, role_of
from secondread.service.page.people.sessions import digest_of
from secondread.service.settings.page import OpenIdSettings, Role, is_loopback
from secondread.service.settings.tls import trusting
from secondread.terminal.events import log_event

LOGIN_S = 600.0
MOST_LOGINS = 1000
"""Logins that are under way; the oldest makes room."""
KEPT_S = 3600.0
"""For which the issuer's configuration and keys are not asked again."""
TIMEOUT_S = 10.0
LARGEST = 1 << 20


class Away(Exception):
    """The provider does not answer, or not as a provider does."""


@dataclass(frozen=True)
class Begun:
    """A login under way: where the browser goes, and what its cookie holds."""

    url: str
    cookie: str


@dataclass(frozen=True)
class Identity:
    """Who the provider says it is. `subject` is the issuer with its name for the person, which never
    changes."""

    subject: str
    name: str
    role: Role
    where: str


@dataclass(frozen=True)
class _Login:
    cookie: str
    nonce: str
    verifier: str
    where: str
    redirect: str
    until: float


class Provider:
    """Logins under way are in memory: a page that was started again asks for a new one."""

    def __init__(self, settings: OpenIdSettings) -> None:
        self._settings = settings
        self._secret = _secret_of(settings)
        self._trusted = _trusted(settings)
        self._lock = threading.Lock()
        self._logins: OrderedDict[str, _Login] = OrderedDict()
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}

    def begin(self, where: str, redirect: str) -> Begun:
        """`redirect` is where the provider sends the browser back to. Raises Away."""
        state, nonce, verifier, cookie = (secrets.token_urlsafe(48) for _ in range(4))
        with self._client(redirect) as client:
            url, _ = client.create_authorization_url(
                self._endpoint("authorization_endpoint"), state=state, nonce=nonce, code_verifier=verifier
            )
        until = time.monotonic() + LOGIN_S
        with self._lock:
            self._logins[state] = _Login(digest_of(cookie), nonce, verifier, where, redirect, until)
            while len(self._logins) > MOST_LOGINS:
                self._logins.popitem(last=False)
        return Begun(url, cookie)

    def finish(self, answer: Mapping[str, str], cookie: str) -> Identity:
        """What the browser brought back. A state is taken once, and by the browser that it was given to.
        Raises Refused and Away."""
        with self._lock:
            login = self._logins.pop(answer.get("state", ""), None)
        if login is None or login.until < time.monotonic():
            raise Refused("the login was not begun here, or took too long")
        if not hmac.compare_digest(login.cookie, digest_of(cookie)):
            raise Refused("the login was begun in another browser")
        if answer.get("iss", self._settings.issuer) != self._settings.issuer:
            raise Refused("the answer is of another issuer")  # RFC 9207
        if "error" in answer or not answer.get("code"):
            raise Refused("the provider refused")
        token = self._token(login, answer["code"])
        claims = self._claims(token, login.nonce)
        if self._settings.role_claim not in claims or "preferred_username" not in claims:
            claims = {**self._more(token, claims["sub"]), **claims}
        subject = f"{self._settings.issuer} {claims['sub']}"
        if len(subject) > 300:
            raise Refused("the subject is longer than is kept here")
        return Identity(subject, name_of(claims), role_of(claims, self._settings), login.where)

    def _token(self, login: _Login, code: str) -> dict[str, Any]:
        endpoint = self._endpoint("token_endpoint")
        try:
            with self._client(login.redirect) as client:
                token = client.fetch_token(endpoint, code=code, code_verifier=login.verifier)
        except AuthlibBaseError:
            raise Refused("the provider did not take the code") from None
        except Exception as error:
            raise _away(error) from None
        if not isinstance(token.get("id_token"), str):
            raise Refused("the provider gave no ID token")
        return dict(token)

    def _claims(self, token: dict[str, Any], nonce: str) -> dict[str, Any]:
        try:
            return claims_of(token["id_token"], self._keys(), self._settings, nonce)
        except UnknownKey:
            self._kept.pop(self._endpoint("jwks_uri"), None)
            return claims_of(token["id_token"], self._keys(), self._settings, nonce)

    def _more(self, token: dict[str, Any], subject: str) -> dict[str, Any]:
        """Claims that the provider tells at its user info endpoint alone."""
        configuration = self._configuration()
        if "userinfo_endpoint" not in configuration:
            return {}
        bearer = {"Authorization": f"Bearer {token.get('access_token', '')}"}
        found = self._get(self._endpoint("userinfo_endpoint"), bearer)
        if found.get("sub") != subject:
            raise Refused("the user info is of somebody else")
        return found

    def _keys(self) -> dict[str, Any]:
        return self._remembered(self._endpoint("jwks_uri"))

    def _configuration(self) -> dict[str, Any]:
        found = self._remembered(f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self._settings.issuer:
            raise Away("its configuration is of another issuer")
        return found

    def _endpoint(self, name: str) -> str:
        url = self._configuration().get(name)
        if not isinstance(url, str) or not is_protected(url):
            raise Away(f"its configuration has no {name} that can be used")
        return url

    def _remembered(self, url: str) -> dict[str, Any]:
        at, known = self._kept.get(url, (0.0, {}))
        if not known or time.monotonic() - at > KEPT_S:
            known = self._get(url, {})
            self._kept[url] = (time.monotonic(), known)
        return known

    def _get(self, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
        try:
            with (
                httpx.Client(verify=self._trusted, timeout=TIMEOUT_S) as client,
                client.stream("GET", url, headers=dict(headers)) as answer,
            ):
                answer.raise_for_status()
                text = b""
                for block in answer.iter_bytes():
                    text += block
                    if len(text) > LARGEST:
                        raise Away("its answer is too long")
            found = httpx.Response(200, content=text).json()
        except Away:
            raise
        except Exception as error:
            raise _away(error) from None
        if not isinstance(found, dict):
            raise Away("its answer is no object")
        return found

    def _client(self, redirect: str) -> OAuth2Client:
        return OAuth2Client(
            self._settings.client,
            self._secret,
            token_endpoint_auth_method="client_secret_basic" if self._secret else "none",
            scope=" ".join(dict.fromkeys(("openid", *self._settings.scopes))),
            redirect_uri=redirect,
            code_challenge_method="S256",
            verify=self._trusted,
            timeout=TIMEOUT_S,
        )


def is_protected(url: str) -> bool:
    """By TLS, or on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def _trusted(settings: OpenIdSettings) -> ssl.SSLContext:
    try:
        return trusting(settings.authority)
    except OSError as error:
        raise UserError(
            f"{settings.authority}: no certificates ({error.strerror}); page.open_id.authority is a PEM file"
        ) from None


def _secret_of(settings: OpenIdSettings) -> str | None:
    if settings.secret_file is None:
        return None
    try:
        secret = settings.secret_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{settings.secret_file}: the client's secret cannot be read ({type(error).__name__}); give "
            "page.open_id.secret_file"
        ) from None
    if not secret:
        raise UserError(f"{settings.secret_file}: is empty; it holds the client's secret")
    return secret


def _away(error: Exception) -> Away:
    log_event("OpenID provider away", level=logging.WARNING, error=type(error).__name__)
    return Away("it does not answer")
