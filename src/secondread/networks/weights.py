"""Public encoder weights from a file, or downloaded only when a person asks. Never code from a file."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from secondread.errors import UserError
from secondread.outputs.whole import write_whole
from secondread.strict.plain_file import open_plain
from secondread.strict.tensor_file import read_header
from secondread.strict.torch_file import check_torch_file
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
    install  the command that installs it
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


def find_weights(name: str, path: str | Path | None = None, source: WeightsSource = NOWHERE) -> Path:
    """The weights file of the network `name`.

    `path` is a file, or a folder that holds `name*.safetensors` or `name*.pth`; without it the package that
    ships it is looked for, and then the folder named by the environment variable SECONDREAD_WEIGHTS.
    `UserError` names the file expected, where it was looked for, and how to get it.
    """
    wanted = f"{name}.safetensors (or {name}.pth)"
    if path is not None:
        given = Path(path).expanduser()
        found = _in_folder(name, given) if given.is_dir() else given
        if found is None or not found.is_file():
            place = f"{wanted} in {given}" if given.is_dir() else f"{given} to be {wanted}, or its folder"
            raise UserError(f"encoder weights not found: expected {place}; {_ways_to_get(name, source)}")
        return found
    shipped = source.shipped()
    if shipped is not None:
        return shipped
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder:
        found = _in_folder(name, Path(folder).expanduser())
        if found is not None:
            return found
        raise UserError(
            f"encoder weights not found: expected {wanted} in {folder} ({FOLDER_VARIABLE}); "
            f"{_ways_to_get(name, source)}"
        )
    raise UserError(
        f"encoder weights not given: {wanted} is needed, and neither detector.encoder.weights nor "
        f"{FOLDER_VARIABLE} is set; {_ways_to_get(name, source)}"
    )


def _ways_to_get(name: str, source: WeightsSource) -> str:
    """How a person comes by the weights of `name`."""
    if source.install:
        return f"run {source.install}, or set {FOLDER_VARIABLE} to the folder that holds them"
    ways = f"give --set detector.encoder.weights=FILE, or set {FOLDER_VARIABLE} to the folder that holds it"
    if source.hub:
        return f"{ways}, or let `secondread fit … --download-weights` fetch it from {source.hub}"
    where = f"; torchvision's file is {source.file}" if source.file else ""
    return f"{ways}; no safetensors source is known for {name}, so it cannot be downloaded for you{where}"


def _in_folder(name: str, folder: Path) -> Path | None:
    for suffix in SUFFIXES:
        exact = folder / f"{name}{suffix}"
        if exact.is_file():
            return exact
        with_hash = sorted(folder.glob(f"{name}-*{suffix}"))
        if with_hash:
            return with_hash[0]
    return None


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` or `.pth` file (the latter unpickled with `weights_only`)."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: weights are read from .safetensors or .pth files")
    what = "not a safetensors file" if path.suffix == ".safetensors" else "not a file of plain tensors"
    try:
        if path.suffix == ".safetensors":
            with open_plain(path) as file:
                read_header(file)
            return load_file(path)
        check_torch_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        OSError,
    ) as error:
        problem = _first_line(error).removeprefix(f"{what} ").removeprefix(what)
        raise UserError(f"{path}: {what} ({problem.strip('() ')}); refused") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: expected a state_dict of tensors by parameter name")
    return dict(state)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def load_weights(
    network: nn.Module,
    name: str,
    path: str | Path | None = None,
    *,
    optional: Sequence[str] = (),
    source: WeightsSource = NOWHERE,
) -> WeightsFile:
    """Fill `network` from the weights of `name` (see `find_weights`), in the network's own precision.

    Every parameter must be there with its shape and nothing else may be; only modules named in
    `optional` (the unused tail) may be missing from the file. Returns the file read.
    """
    file = find_weights(name, path, source)
    state = read_weights(file)
    own = network.state_dict()
    ignored = tuple(f"{prefix}." for prefix in optional)
    missing = [
        key
        for key in own
        if key not in state
        and not key.startswith(ignored or "\0")
        and not key.endswith("num_batches_tracked")
    ]
    unexpected = [key for key in state if key not in own]
    if missing or unexpected:
        example = f"{missing[0]} is missing" if missing else f"{unexpected[0]} is not one of its parameters"
        raise UserError(f"{file}: these are not weights of {name} ({example})")
    for key, value in state.items():
        if value.shape != own[key].shape:
            raise UserError(
                f"{file}: these are not weights of {name} "
                f"({key} has shape {tuple(value.shape)}, expected {tuple(own[key].shape)})"
            )
    network.load_state_dict(state, strict=False)
    return WeightsFile.of(file)


def download_weights(name: str, folder: str | Path, source: WeightsSource) -> Path:
    """Fetch the weights of `name` as safetensors from the Hugging Face hub into `folder`.

    Nothing calls this unless a person asks for it. Needs the extra `download` (huggingface-hub).
    """
    if not source.hub:
        raise UserError(f"weights of {name} cannot be downloaded: {_ways_to_get(name, source)}")
    try:
        hub = import_module("huggingface_hub")
    except ImportError as error:
        raise UserError(
            f"downloading weights needs huggingface-hub: {install_command('download')}"
        ) from error
    folder = Path(folder)
    target = folder / f"{name}.safetensors"
    try:
        fetched = Path(hub.hf_hub_download(source.hub, "model.safetensors"))
    except Exception as error:
        raise UserError(f"download of {name} from {source.hub} failed: {_first_line(error)}") from error
    write_whole(target, fetched.read_bytes())
    return target
