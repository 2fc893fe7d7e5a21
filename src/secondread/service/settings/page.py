"""The page in the browser."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from secondread.service.settings.receiving import Port
from secondread.service.settings.tls import TlsSettings
from secondread.settings.base import Settings

Role = Literal["viewer", "reader", "administrator"]


class OpenIdSettings(Settings):
    """People who log in elsewhere.

    issuer       https://…, whose `/.well-known/openid-configuration` says the rest
    secret_file  holds the client's secret; none: a public client, by PKCE alone
    authority    who signed the issuer's certificate, where the system does not know
    roles        values of the claim `role_claim` -> role here; who has none of them is refused
    """

    issuer: str
    client: str
    secret_file: Path | None = None
    authority: Path | None = None
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    role_claim: str = "groups"
    roles: dict[str, Role] = {}  # noqa: RUF012

    @model_validator(mode="after")
    def _is_protected(self) -> Self:
        url = urlsplit(self.issuer)
        if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname or "")):
            raise ValueError("issuer is https://…; plain http is for one on this machine alone")
        if not self.roles:
            raise ValueError("roles says which value of the role claim is which role; name one at least")
        return self

    def beside(self, folder: Path) -> OpenIdSettings:
        files = {"secret_file": self.secret_file, "authority": self.authority}
        return self.model_copy(update={name: path and folder / path for name, path in files.items()})


class PageSettings(Settings):
    """Local by default: another address needs TLS or a proxy that is named.

    public_url  as browsers see it, where a proxy stands before; its origin is the only one that may post
    hosts       further names by which this page may be asked, as a health check or Prometheus does
    proxies     addresses of which `X-Forwarded-For` and `-Proto` are believed, with `behind_proxy`
    senders_file  who may send by STOW-RS: lines of a name and the SHA-256 of its token, which
                `secondread service sender` writes
    idle_min    after so long without a request a person logs in again; in any case after `session_h`
    language    of people who chose none
    """

    address: str = "127.0.0.1"
    port: Port = 8080
    tls: TlsSettings | None = None
    public_url: str = ""
    behind_proxy: bool = False
    hosts: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    senders_file: Path | None = None
    open_id: OpenIdSettings | None = None
    idle_min: Annotated[float, Field(gt=0, le=1440)] = 30.0
    session_h: Annotated[float, Field(gt=0, le=720)] = 12.0
    language: Literal["en", "de"] = "en"
    logins_per_min: Annotated[int, Field(ge=1, le=1000)] = 10
    requests_per_min: Annotated[int, Field(ge=10, le=10**6)] = 1200
    largest_upload_gb: Annotated[float, Field(gt=0, le=1000)] = 8.0
    metrics: bool = True

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        url = urlsplit(self.public_url)
        if self.public_url and (
            url.scheme not in ("http", "https") or not url.hostname or url.path.strip("/")
        ):
            raise ValueError("public_url is https://HOST or https://HOST:PORT, without a path")
        if self.tls is not None and (self.tls.certificate is None or self.tls.key is None):
            raise ValueError("tls needs a certificate and its key")
        if not is_loopback(self.address) and self.tls is None and not self.behind_proxy:
            raise ValueError(
                f"address {self.address} is seen from other machines: give tls a certificate and key, or say "
                "behind_proxy: true where a proxy stands before it that speaks TLS"
            )
        if self.behind_proxy and not self.public_url:
            raise ValueError("behind_proxy needs the public_url that browsers see")
        if self.address in ("0.0.0.0", "::", "") and not (self.public_url or self.hosts):
            raise ValueError(
                f"address {self.address!r} needs the public_url or the hosts by which it is asked"
            )
        return self

    def beside(self, folder: Path) -> PageSettings:
        """With the paths of files that lie beside the configuration."""
        openid, senders = self.open_id, self.senders_file
        return self.model_copy(
            update={
                "tls": self.tls and self.tls.beside(folder),
                "senders_file": senders and folder / senders,
                "open_id": openid and openid.beside(folder),
            }
        )


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
