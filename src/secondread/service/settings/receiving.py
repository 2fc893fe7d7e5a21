"""Where studies come from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from secondread.service.settings.tls import TlsSettings
from secondread.settings.base import Settings

Port = Annotated[int, Field(ge=0, le=65535)]
"""0 = any that is free."""
Title = Annotated[str, Field(min_length=1, max_length=16)]
"""Of an application entity."""


class Peer(Settings):
    """Another application entity: it may send here, and be asked and sent to.

    address   host name or IP address; associations of this title from elsewhere are refused
    """

    title: Title
    address: str
    port: Port = 104
    tls: TlsSettings | None = None


class ReceivingSettings(Settings):
    """The storage SCP.

    peers         who may send; empty = any title from this machine alone
    associations  at once; more are refused for the moment
    free_gb       with less on the spool's disk everything is refused as out of resources
    queue         complete studies that may wait for scorers before new ones are refused, 0 = any number
    largest_gb    one instance
    """

    address: str = "127.0.0.1"
    port: Port = 11112
    title: Title = "SECONDREAD"
    peers: tuple[Peer, ...] = ()
    tls: TlsSettings | None = None
    associations: Annotated[int, Field(ge=1, le=10_000)] = 100
    free_gb: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    queue: Annotated[int, Field(ge=0, le=10**9)] = 0
    largest_gb: Annotated[float, Field(gt=0, le=1000)] = 8.0


class CompletionSettings(Settings):
    """When a study is complete: nothing came for `quiet_s` seconds, or its sender asked for storage
    commitment of it."""

    quiet_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    commitment: bool = True
