"""Where readings go."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from secondread.service.settings.receiving import Port, Title
from secondread.service.settings.tls import TlsSettings
from secondread.settings.base import Settings

Kind = Literal["report", "segmentation", "parametric map", "overlay"]
Kinds = Annotated[tuple[Kind, ...], Field(min_length=1)]
MAIL = "mail"
"""The name of the destination `mail`, which has no other."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Given = TypeVar("Given", bound=Settings)


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("should be https://HOST/… or http://HOST/…")
    if parts.username is not None:
        raise ValueError("should hold no user and no password; they stand in a file")
    return url


Url = Annotated[str, AfterValidator(_web_address)]


class DicomDestination(Settings):
    """A storage SCP that gets results. `objects`: which of them; `flagged_only`: of flagged studies alone."""

    name: Name
    title: Title
    address: str
    port: Port = 104
    tls: TlsSettings | None = None
    objects: Kinds = ("report", "segmentation", "parametric map", "overlay")
    flagged_only: bool = False


class WebDestination(Settings):
    """A DICOMweb server that gets results by STOW-RS, at `url`/studies.

    token_file  holds a bearer token, and is read at each request; over https alone, but for this machine
    authority   who signed the server's certificate, where that is none of the system's authorities
    """

    name: Name
    url: Url
    token_file: Path | None = None
    authority: Path | None = None
    objects: Kinds = ("report", "segmentation", "parametric map", "overlay")
    flagged_only: bool = False

    @model_validator(mode="after")
    def _secret_stays_secret(self) -> Self:
        parts = urlsplit(self.url)
        if self.token_file is not None and parts.scheme == "http" and not _is_here(parts.hostname or ""):
            raise ValueError("a token goes over https alone; write https://…")
        return self


class Webhook(Settings):
    """An address that gets a JSON message of each urgent study, without the patient.

    secret_file  holds the secret that signs the message
    identifiers  of the study that the message names; none by default, since each leads to the patient
    """

    name: Name
    url: Url
    secret_file: Path | None = None
    authority: Path | None = None
    identifiers: tuple[Literal["accession", "study_uid"], ...] = ()


class Mail(Settings):
    """Who is told of urgent studies by e-mail, without the patient.

    starttls   the server has to offer it, with a certificate that `authority` or the system knows
    """

    server: str
    port: Port = 25
    sender: str
    to: Annotated[tuple[str, ...], Field(min_length=1)]
    starttls: bool = False
    authority: Path | None = None
    user: str = ""
    password_file: Path | None = None

    @model_validator(mode="after")
    def _secret_stays_secret(self) -> Self:
        if self.password_file is not None and not self.starttls and not _is_here(self.server):
            raise ValueError("a password goes over TLS alone; write starttls: true")
        if any("\n" in text or "\r" in text for text in (self.sender, *self.to)):
            raise ValueError("an address is one line")
        return self


class Hl7Destination(Settings):
    """An HL7 v2 receiver by MLLP, which gets an ORU^R01 of each reading.

    application, facility  the receiver's, MSH-5 and MSH-6
    our_facility           MSH-4
    assigner               who gives the patients' ids, PID-3.4
    character_set          a name that it cannot write is not sent, and the reason says so
    """

    name: Name
    address: str
    port: Port
    tls: TlsSettings | None = None
    application: str = ""
    facility: str = ""
    our_facility: str = ""
    assigner: str = ""
    character_set: Literal["UNICODE UTF-8", "8859/1"] = "UNICODE UTF-8"


class SendingSettings(Settings):
    """urgent_p         a study whose p-value is at most this is urgent; None: every flagged study
    give_up_days        what could not be sent for so long is set aside
    retry_s             after a first failure; each further one doubles it
    longest_retry_s     at most so long
    alarm_min           a destination that is away for so long is an alarm
    timeout_s           of a connection, and of the answer to one object or message
    """

    dicom: tuple[DicomDestination, ...] = ()
    web: tuple[WebDestination, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    mail: Mail | None = None
    hl7: tuple[Hl7Destination, ...] = ()
    urgent_p: Annotated[float, Field(ge=0, le=1)] | None = None
    give_up_days: Annotated[float, Field(gt=0, le=365)] = 7.0
    retry_s: Annotated[float, Field(gt=0, le=3600)] = 5.0
    longest_retry_s: Annotated[float, Field(gt=0, le=21_600)] = 300.0
    alarm_min: Annotated[float, Field(ge=0, le=10_080)] = 15.0
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0

    @property
    def names(self) -> list[str]:
        """Of every destination."""
        names = [one.name for one in self.dicom] + [one.name for one in self.web]
        names += [one.name for one in self.webhooks] + [one.name for one in self.hl7]
        return names + ([MAIL] if self.mail is not None else [])

    def beside(self, folder: Path) -> SendingSettings:
        """With relative paths from `folder` on."""
        return _beside(self, folder)


def _beside(given: Given, folder: Path) -> Given:
    changed: dict[str, object] = {}
    for name in type(given).model_fields:
        value = getattr(given, name)
        if isinstance(value, Path):
            changed[name] = folder / value
        elif isinstance(value, Settings):
            changed[name] = _beside(value, folder)
        elif isinstance(value, tuple):
            changed[name] = tuple(_beside(one, folder) if isinstance(one, Settings) else one for one in value)
    return given.model_copy(update=changed)


def _is_here(host: str) -> bool:
    """Whether it is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
