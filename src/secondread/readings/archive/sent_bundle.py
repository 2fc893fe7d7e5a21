"""A bundle as bytes, so that a cluster's object store carries it once to each machine."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.bundles.fitted_model import FittedModel
from secondread.exporting.load import load_model


@dataclass(frozen=True)
class SentBundle:
    """The files of a bundle's folder or archive, by name. Arrays of bytes lie in the object store's shared
    memory, and are copied by nobody until they are written.

    digest  of the bundle; `device` and `allow` as `load_model` has them
    """

    name: str
    files: dict[str, NDArray[Any]]
    digest: str
    device: str = "cpu"
    allow: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: Path, digest: str, device: str, allow: Sequence[str]) -> SentBundle:
        found = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
        top = path if path.is_dir() else path.parent
        files = {file.relative_to(top).as_posix(): np.fromfile(file, np.uint8) for file in found}
        return cls("bundle" if path.is_dir() else path.name, files, digest, device, tuple(allow))

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(data.nbytes for data in self.files.values())

    def load(self) -> FittedModel:
        """The bundle, from files that are gone again afterwards. Raises as `load_model` does."""
        with tempfile.TemporaryDirectory(prefix="secondread-") as scratch:
            top = Path(scratch, "bundle") if self.name == "bundle" else Path(scratch)
            for name, data in self.files.items():
                (top / name).parent.mkdir(parents=True, exist_ok=True)
                data.tofile(top / name)
            return load_model(Path(scratch, self.name), self.device, allow=self.allow)
