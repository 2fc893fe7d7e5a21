"""The configuration of a service: one YAML file.

spool: /var/lib/secondread
bundles:
  - name: chest
    bundle: /models/chest
    takes: {modality: [CR, DX], view: [PA, AP], age: [16, 120]}
send:
  dicom: [{name: pacs, title: PACS, address: 127.0.0.1, port: 4242}]
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from secondread.errors import UserError
from secondread.service.settings.bundles import BundleSettings
from secondread.service.settings.page import PageSettings
from secondread.service.settings.receiving import CompletionSettings, ReceivingSettings
from secondread.service.settings.sending import SendingSettings
from secondread.service.settings.upkeep import UpkeepSettings, WatchingSettings
from secondread.settings.base import Settings
from secondread.settings.mistakes import mistakes
from secondread.strict.plain_file import Unfit, read_text
from secondread.strict.yaml_text import RECIPE, parse_yaml

EVERYWHERE = frozenset({"0.0.0.0", "::", ""})  # noqa: S104
"""Addresses that stand for all of this machine's."""


class ServiceSettings(Settings):
    """Everything about a service.

    spool     the folder that holds what was received and made; its owner alone can look into it
    database  empty = SQLite in the spool; or postgresql+psycopg://USER@HOST/NAME, which several machines
              share
    scorers   processes that score; each loads every bundle once
    device    as `secondread score --device` has it
    """

    spool: Path
    database: str = ""
    bundles: Annotated[tuple[BundleSettings, ...], Field(min_length=1)]
    receive: ReceivingSettings = ReceivingSettings()
    complete: CompletionSettings = CompletionSettings()
    send: SendingSettings = SendingSettings()
    page: PageSettings = PageSettings()
    watch: WatchingSettings = WatchingSettings()
    upkeep: UpkeepSettings = UpkeepSettings()
    scorers: Annotated[int, Field(ge=0, le=256)] = 1
    tries: Annotated[int, Field(ge=1, le=100)] = 3
    device: str = "auto"

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.spool / 'service.sqlite'}"

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [bundle.name for bundle in self.bundles]
        if len(set(names)) < len(names):
            raise ValueError("each bundle needs a name of its own")
        if len(set(self.send.names)) < len(self.send.names):
            raise ValueError("each destination needs a name of its own, and `mail` has its own")
        return self

    @model_validator(mode="after")
    def _ports_once(self) -> Self:
        here, there = self.receive, self.page
        same = here.address == there.address or not EVERYWHERE.isdisjoint((here.address, there.address))
        if here.port and here.port == there.port and same:
            raise ValueError(
                f"receive and page both listen on port {here.port}; give one of them another port"
            )
        return self

    @classmethod
    def load(cls, path: Path) -> ServiceSettings:
        """Raises UserError with a line for each mistake. Relative paths are beside the file, and `~/` is the
        home folder."""
        try:
            given = parse_yaml(read_text(path, RECIPE.length))
        except Unfit as error:
            raise UserError(f"{path}: {error}; a configuration is YAML") from None
        except OSError as error:
            raise UserError(f"{path}: the configuration cannot be read ({error.strerror})") from None
        if not isinstance(given, dict):
            said = "is empty" if given is None else "is no configuration"
            raise UserError(
                f"{path}: {said}; a configuration is YAML with names and values, such as "
                "`spool: /var/lib/secondread`"
            )
        try:
            found = cls.model_validate(_at_home(given))
        except ValidationError as error:
            raise UserError("\n".join(mistakes(error, cls, str(path)))) from None
        return found.beside(path.absolute().parent)

    def beside(self, folder: Path) -> ServiceSettings:
        bundles = tuple(
            one.model_copy(
                update={"bundle": folder / one.bundle, "shadow": tuple(folder / path for path in one.shadow)}
            )
            for one in self.bundles
        )
        sections = {
            "receive": self.receive.beside(folder),
            "send": self.send.beside(folder),
            "page": self.page.beside(folder),
            "upkeep": self.upkeep.beside(folder),
        }
        return self.model_copy(update={"spool": folder / self.spool, "bundles": bundles, **sections})


def _at_home(given: Any) -> Any:
    """With the home folder in place of `~/`, with which only paths begin."""
    if isinstance(given, dict):
        return {name: _at_home(one) for name, one in given.items()}
    if isinstance(given, list):
        return [_at_home(one) for one in given]
    return os.path.expanduser(given) if isinstance(given, str) and given.startswith("~/") else given
