"""A fit that is under way: its folder beside the bundle to be, and which fit it is."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.errors import UserError
from secondread.outputs.folders import partial
from secondread.outputs.private import make_folder
from secondread.outputs.whole import cannot_write, remove_folder, write_whole
from secondread.strict.json_text import read_object

IDENTITY = "fit.json"


@dataclass(frozen=True)
class Unfinished:
    """`OUT.partial`, where checkpoints lie until the bundle `OUT` is whole.

    identity  what must be equal for a fit to be continued: recipe, manifest, seed, shared patients,
              and the list of auxiliary images where there is one
    """

    out: Path
    identity: dict[str, Any]

    @property
    def folder(self) -> Path:
        return partial(self.out)

    def begin(self, *, resume: bool) -> bool:
        """Make the folder, or take it up again; returns whether there is something to continue.

        Raises UserError where another fit lies there, or one lies there and `resume` is not asked for.
        """
        file = self.folder / IDENTITY
        if file.is_file():
            if not resume:
                raise UserError(
                    f"{self.folder}: an unfinished fit; continue it with --resume, or remove the folder"
                )
            self._refuse_another(read_object(file, UserError, "remove the folder to start anew"))
            return True
        if self.folder.exists() and any(not file.name.startswith(".") for file in self.folder.iterdir()):
            raise UserError(
                f"{self.folder}: not a folder of an unfinished fit; remove it or choose another -o"
            )
        try:
            make_folder(self.folder)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        write_whole(file, json.dumps(self.identity, indent=1).encode())
        return False

    def _refuse_another(self, earlier: dict[str, Any]) -> None:
        for name, value in self.identity.items():
            if earlier.get(name) != value:
                raise UserError(
                    f"{self.folder}: an unfinished fit with another {name}; "
                    "give the same command as before with --resume, or remove the folder to start anew"
                )

    def clear(self) -> None:
        remove_folder(self.folder)

    def clear_if_finished(self) -> None:
        """Remove what a fit that was killed at its very end left beside its whole bundle."""
        with contextlib.suppress(OSError, ValueError):
            if json.loads((self.folder / IDENTITY).read_text(encoding="utf-8")) == self.identity:
                self.clear()
