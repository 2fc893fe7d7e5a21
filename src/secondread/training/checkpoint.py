"""Checkpoints that survive `kill -9` at any instruction.

A checkpoint is written to a temporary name, synced, and renamed; its name carries its SHA-256, so a
torn or altered file is recognised and passed over for the one before it. The newest two are kept.
Loading unpickles tensors, numbers, strings and containers only (`strict.torch_file`, `weights_only`).
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from secondread.errors import UserError
from secondread.outputs.whole import clear_leftovers, whole_file
from secondread.strict.plain_file import Unfit
from secondread.strict.torch_file import check_torch_file

KEPT = 2
FIELDS = {"fingerprint": dict, "detector": dict, "log": str, "stage": int, "done": bool}
"""What every checkpoint of the loop has at least."""
NAME = re.compile(r"^checkpoint-(\d{8})-([0-9a-f]{64})\.pt$")


class _HashingFile(io.RawIOBase):
    """Passes what is written on to a file and hashes it on the way."""

    file: BinaryIO

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self.file.write(data)


class Checkpoints:
    """The checkpoints of one fit, in one directory; none at all where `directory` is None."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory

    def _files(self) -> list[tuple[int, str, Path]]:
        if self.directory is None or not self.directory.is_dir():
            return []
        found = [(NAME.match(path.name), path) for path in self.directory.iterdir()]
        return sorted((int(m[1]), m[2], path) for m, path in found if m)

    def exist(self) -> bool:
        return bool(self._files())

    def tidy(self, *, everything: bool) -> None:
        """Removes what a killed process left half written; with `everything` all checkpoints."""
        if self.directory is None:
            return
        clear_leftovers(self.directory)
        for _, _, path in self._files() if everything else []:
            path.unlink(missing_ok=True)

    def remove_newest(self) -> None:
        for _, _, path in self._files()[-1:]:
            path.unlink(missing_ok=True)

    def save(self, state: Mapping[str, Any]) -> Path | None:
        """The checkpoint's file. `UserError` where the disk does not take it; earlier ones stay."""
        if self.directory is None:
            return None
        files = self._files()
        number = files[-1][0] + 1 if files else 0
        hashing = _HashingFile()

        def name() -> str:
            return f"checkpoint-{number:08d}-{hashing.digest.hexdigest()}.pt"

        try:
            with whole_file(self.directory / "checkpoint.pt", name=name) as file:
                hashing.file = file
                torch.save(dict(state), cast(IO[bytes], hashing))
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"{self.directory}: the checkpoint cannot be written ({error}); "
                "free some room; the same command then goes on"
            ) from error
        for _, _, old in self._files()[:-KEPT]:
            old.unlink(missing_ok=True)
        return self.directory / name()

    def latest(self) -> dict[str, Any] | None:
        """The newest checkpoint that is whole, on the CPU; None where there is none."""
        for _, digest, path in reversed(self._files()):
            with path.open("rb") as file:
                whole = hashlib.file_digest(file, "sha256").hexdigest() == digest
            if whole:
                return _read(path)
        return None


def _read(path: Path) -> dict[str, Any]:
    """A checkpoint whose digest is its own. That proves only that it is whole, so its structure is checked
    before torch reads it; `UserError` where it is none."""
    advice = "remove it to go on from the one before, or the folder to begin anew"
    try:
        check_torch_file(path)
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (Unfit, OSError, RuntimeError, pickle.UnpicklingError) as error:
        problem = " ".join(str(error).split())[:160]
        raise UserError(f"{path}: no checkpoint of a fit ({problem}); {advice}") from error
    if not isinstance(saved, dict) or any(
        not isinstance(saved.get(name), kind) for name, kind in FIELDS.items()
    ):
        raise UserError(f"{path}: no checkpoint of a fit (other fields than {', '.join(FIELDS)}); {advice}")
    return saved


def unfinished(directory: Path) -> bool:
    """Whether `train(directory=...)` left checkpoints here that `resume=True` would continue."""
    return Checkpoints(directory / "checkpoints").exist()
