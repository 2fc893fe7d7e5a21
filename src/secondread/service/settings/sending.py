"""Where readings go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from secondread.service.settings.receiving import Port, Title
from secondread.service.settings.tls import TlsSettings
from secondread.settings.base import Settings

Kind = Literal["report", "segmentation", "parametric map", "overlay"]


class DicomDestination(Settings):
    """A storage SCP that gets results. `objects`: which of them; `flagged_only`: of flagged studies alone."""

    name: str
    title: Title
    address: str
    port: Port = 104
    tls: TlsSettings | None = None
    objects: tuple[Kind, ...] = ("report", "segmentation", "parametric map", "overlay")
    flagged_only: bool = False


class WebDestination(Settings):
    """A DICOMweb server that gets results by STOW-RS. `token_file` holds a bearer token."""

    name: str
    url: str
    token_file: str = ""
    authority: str = ""
    objects: tuple[Kind, ...] = ("report", "segmentation", "parametric map", "overlay")
    flagged_only: bool = False


class Webhook(Settings):
    """An address that gets a JSON message of each urgent study, without the patient; `secret_file` signs
    it."""

    name: str
    url: str
    secret_file: str = ""


class Mail(Settings):
    """Who is told of urgent studies by e-mail, without the patient."""

    server: str
    port: Port = 25
    sender: str
    to: tuple[str, ...]
    starttls: bool = False
    user: str = ""
    password_file: str = ""


class Hl7Destination(Settings):
    """An HL7 v2 receiver by MLLP, which gets an ORU^R01 of each reading."""

    name: str
    address: str
    port: Port
    application: str = ""
    facility: str = ""


class SendingSettings(Settings):
    """urgent_p  a study whose p-value is at most this is urgent; None: every flagged study"""

    dicom: tuple[DicomDestination, ...] = ()
    web: tuple[WebDestination, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    mail: Mail | None = None
    hl7: tuple[Hl7Destination, ...] = ()
    urgent_p: Annotated[float, Field(ge=0, le=1)] | None = None
    give_up_days: Annotated[float, Field(gt=0, le=365)] = 7.0
