"""A fit that is under way: its folder beside the bundle to be, and which fit it is. No torch here."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondread.errors import UserError
from secondread.fitting.identity import SETTINGS, differences
from secondread.outputs.folders import partial
from secondread.outputs.private import make_folder
from secondread.outputs.whole import cannot_write, remove_folder, write_whole
from secondread.strict.json_text import read_object

IDENTITY = "fit.json"
WORK = "detector"
"""What the training loop writes, below the folder."""


@dataclass(frozen=True)
class Unfinished:
    """`OUT.partial`, where checkpoints lie until the bundle `OUT` is whole.

    identity  what must be equal for a fit to be continued: recipe, manifest, seed, shared patients,
              and the list of auxiliary images where there is one
    settings  of the recipe, so that a difference can be told by its name
    """

    out: Path
    identity: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return partial(self.out)

    @property
    def begun(self) -> bool:
        """Whether there is a checkpoint, so that something would be lost with the folder."""
        return any((self.folder / WORK / "checkpoints").glob("checkpoint-*"))

    def begin(self, *, force: bool = False) -> bool:
        """Make the folder, or take it up again; returns whether there is something to continue.

        A fit with other settings that left no checkpoint gives way, and with `force` every other does.
        Raises UserError where another fit has left some, or the folder is none of a fit.
        """
        if self.folder.exists() and not force:
            self.refuse_another()
        file = self.folder / IDENTITY
        if file.is_file() and (force or self._differs()):
            remove_folder(self.folder)
        if file.is_file():
            return True
        try:
            make_folder(self.folder)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        write_whole(file, json.dumps({**self.identity, SETTINGS: self.settings}, indent=1).encode())
        return False

    def refuse_another(self) -> None:
        """UserError where the folder holds what this fit must not replace."""
        if not self.folder.exists():
            return
        if not (self.folder / IDENTITY).is_file():
            if any(not file.name.startswith(".") for file in self.folder.iterdir()):
                raise UserError(
                    f"{self.folder}: not a folder of an unfinished fit; remove it or choose another -o"
                )
            return
        other = self._differs()
        if other and self.begun:
            raise UserError(
                f"{self.folder}: an unfinished fit with other settings lies there ({other}); to go on with "
                "it give the command as it was, to start anew add --force, or choose another place with -o"
            )

    def _differs(self) -> str:
        earlier = read_object(self.folder / IDENTITY, UserError, "remove the folder to start anew")
        return differences(earlier, self.identity, earlier.get(SETTINGS), self.settings)

    def clear(self) -> None:
        remove_folder(self.folder)

    def clear_if_nothing_done(self) -> None:
        """Remove the folder of a fit that failed before its first checkpoint: it would only be in the way."""
        if not self.begun:
            self.clear()

    def clear_if_finished(self) -> None:
        """Remove what a fit that was killed at its very end left beside its whole bundle."""
        with contextlib.suppress(OSError, ValueError):
            earlier = json.loads((self.folder / IDENTITY).read_text(encoding="utf-8"))
            if {name: earlier.get(name) for name in self.identity} == dict(self.identity):
                self.clear()
