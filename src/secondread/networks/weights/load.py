"""Public encoder weights from a file, or downloaded only when a person asks. Never code from a file."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from secondread.errors import UserError
from secondread.networks.weights.find import (
    NOWHERE,
    SUFFIXES,
    WeightsFile,
    WeightsSource,
    find_weights,
    ways_to_get,
)
from secondread.outputs.whole import write_whole
from secondread.strict.plain_file import open_plain
from secondread.strict.tensor_file import read_header
from secondread.strict.torch_file import check_torch_file
from secondread.wording.extras import install_command


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
        raise UserError(f"weights of {name} cannot be downloaded: {ways_to_get(name, source)}")
    try:
        hub = import_module("huggingface_hub")
    except ImportError as error:
        raise UserError(
            f"downloading weights needs huggingface-hub: run {install_command('download')}"
        ) from error
    folder = Path(folder)
    target = folder / f"{name}.safetensors"
    try:
        fetched = Path(hub.hf_hub_download(source.hub, "model.safetensors"))
    except Exception as error:
        raise UserError(f"download of {name} from {source.hub} failed: {_first_line(error)}") from error
    write_whole(target, fetched.read_bytes())
    return target
