"""What an issuer's ID token says of somebody, believed only when everything about it is right (OpenID Connect
Core 1.0, 3.1.3.7)."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from secondread.service.page.people.persons import NAME, ROLES
from secondread.service.settings.page import OpenIdSettings, Role

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
"""With a key that the issuer alone has; `none` and those of a shared secret are not among them."""
LEEWAY_S = 60
OLDEST_S = 600


class Refused(Exception):
    """Why somebody was not let in, in a few fixed words for the audit."""


class UnknownKey(Refused):
    """No key of the issuer fits: it may have a new one."""


def claims_of(
    token: str, keys: Mapping[str, Any], settings: OpenIdSettings, nonce: str, *, at: float | None = None
) -> dict[str, Any]:
    """The claims of an ID token for this client and this login. `keys` is the issuer's key set. Raises
    Refused."""
    try:
        signing = [dict(key) for key in keys["keys"] if key.get("use", "sig") == "sig"]
        known = KeySet.import_key_set({"keys": signing})
        claims = dict(jwt.decode(token, known, algorithms=list(ALGORITHMS)).claims)
    except (JoseError, ValueError, KeyError, TypeError):
        raise UnknownKey("the ID token is not signed by the issuer") from None
    now = time.time() if at is None else at
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != settings.issuer:
        raise Refused("the ID token is of another issuer")
    if settings.client not in audiences or claims.get("azp", settings.client) != settings.client:
        raise Refused("the ID token is for another client")
    if len(audiences) > 1 and "azp" not in claims:
        raise Refused("the ID token does not say which client it is for")
    if not _is_time(claims.get("exp")) or claims["exp"] <= now - LEEWAY_S:
        raise Refused("the ID token has expired")
    if not _is_time(claims.get("iat")) or not now - OLDEST_S <= claims["iat"] <= now + LEEWAY_S:
        raise Refused("the ID token is not of this moment; compare the clocks")
    if _is_time(claims.get("nbf")) and claims["nbf"] > now + LEEWAY_S:
        raise Refused("the ID token is not valid yet; compare the clocks")
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
        raise Refused("the ID token is of another login")
    if not isinstance(claims.get("sub"), str) or not 0 < len(claims["sub"]) <= 255:
        raise Refused("the ID token names nobody")
    return claims


def role_of(claims: Mapping[str, Any], settings: OpenIdSettings) -> Role:
    """The highest role that a value of the role claim stands for. Raises Refused where there is none."""
    said = claims.get(settings.role_claim)
    values = said if isinstance(said, list) else [said]
    found = [settings.roles[value] for value in values if isinstance(value, str) and value in settings.roles]
    if not found:
        raise Refused("the role claim holds no value that has a role here")
    return max(found, key=ROLES.index)


def name_of(claims: Mapping[str, Any]) -> str:
    """What the person is called here. Raises Refused where nothing in the claims can be a name."""
    for claim in ("preferred_username", "email", "sub"):
        said = claims.get(claim)
        if isinstance(said, str) and NAME.fullmatch(said):
            return said
    raise Refused("the ID token has no name that can be used here")


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
