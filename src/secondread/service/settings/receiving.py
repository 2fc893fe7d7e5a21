"""Where studies come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

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

    @model_validator(mode="after")
    def _titles_once(self) -> Self:
        titles = [peer.title.strip() for peer in self.peers]
        if twice := [title for title in dict.fromkeys(titles) if titles.count(title) > 1]:
            raise ValueError(
                f"the title {twice[0]!r} stands twice among the peers; each needs one of its own"
            )
        return self

    def beside(self, folder: Path) -> ReceivingSettings:
        """With relative paths from `folder` on."""
        peers = tuple(
            peer.model_copy(update={"tls": peer.tls and peer.tls.beside(folder)}) for peer in self.peers
        )
        return self.model_copy(update={"tls": self.tls and self.tls.beside(folder), "peers": peers})


class CompletionSettings(Settings):
    """When a study is complete: nothing came for `quiet_s` seconds, or its sender asked for storage
    commitment of it."""

    quiet_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    commitment: bool = True
