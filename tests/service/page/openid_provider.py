"""A provider of OpenID Connect as a process of its own: `oidc-provider-mock`, which answers over HTTP, and
which here also compares the verifier of PKCE (RFC 7636) with the challenge, as providers of hospitals do.

    python openid_provider.py PORT
"""

from __future__ import annotations

import base64
import hashlib
import sys
from urllib.parse import parse_qs, urlsplit

import flask
import uvicorn
from oidc_provider_mock import app as make_provider


def main(port: int) -> None:
    provider = make_provider(require_nonce=True)
    challenges: dict[str, str] = {}

    @provider.before_request
    def compare() -> tuple[str, int] | None:
        request = flask.request
        if request.path == "/oauth2/authorize" and request.args.get("code_challenge_method") != "S256":
            return "PKCE is required", 400
        if request.path == "/oauth2/token":
            digest = hashlib.sha256(request.form.get("code_verifier", "").encode()).digest()
            given = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if challenges.get(request.form.get("code", "")) != given:
                return flask.jsonify(error="invalid_grant"), 400
        return None

    @provider.after_request
    def remember(response: flask.Response) -> flask.Response:
        code = parse_qs(urlsplit(response.headers.get("Location", "")).query).get("code")
        if flask.request.path == "/oauth2/authorize" and code:
            challenges[code[0]] = flask.request.args["code_challenge"]
        return response

    uvicorn.run(provider, interface="wsgi", host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main(int(sys.argv[1]))
