"""What a bundle's folder says of a network in it: digests, the shapes of its tensors, and the tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secondread.errors import UserError
from secondread.networks.weights.find import WeightsFile
from secondread.networks.weights.load import read_weights
from secondread.strict.json_text import DOCUMENT as LIMITS
from secondread.strict.json_text import parse_json
from secondread.strict.plain_file import Unfit, open_plain, read_plain
from secondread.strict.tensor_file import TensorForm, read_header

MODEL, DOCUMENT = "model.safetensors", "bundle.json"


def read_document(folder: Path) -> tuple[Mapping[str, Any], str]:
    """`bundle.json` and its SHA-256. UserError where there is none, or it cannot be read."""
    file = folder / DOCUMENT
    if not file.is_file():
        raise UserError(
            f"{folder}: no bundle here (it has no {DOCUMENT}); give detector.encoder.weights the folder that "
            "`fit -o` wrote"
        )
    try:
        text = read_plain(file, LIMITS.length, links=False)
        found = parse_json(text, LIMITS)
    except (Unfit, OSError) as error:
        raise _unread(file, error) from None
    if not isinstance(found, dict):
        raise _unread(file, Unfit("is no JSON object"))
    return found, hashlib.sha256(text).hexdigest()


def read_forms(folder: Path) -> dict[str, TensorForm]:
    """Types and shapes of the bundle's tensors, by name. UserError where they cannot be read."""
    try:
        with open_plain(folder / MODEL, links=False) as file:
            return read_header(file)
    except (Unfit, OSError) as error:
        raise _unread(folder / MODEL, error) from None


def fill(folder: Path, network: nn.Module, places: Mapping[str, str], without: str) -> WeightsFile:
    """Fills a network from the bundle: `places` gives its own name for a tensor's name there.

    UserError for a file whose digest is not the one in `bundle.json`, for a tensor that is not there, with
    `without` for its cause, and for one of another shape.
    """
    file = folder / MODEL
    document, _ = read_document(folder)
    weights = WeightsFile.of(file)
    if document.get("files", {}).get(MODEL, {}).get("sha256") != weights.sha256:
        raise UserError(
            f"{file}: its SHA-256 is not the one in {DOCUMENT}; the bundle was changed or damaged, copy "
            "it again from its source"
        )
    given = read_weights(file)
    missing = sorted(own for there, own in places.items() if there not in given)
    if missing:
        raise UserError(f"{folder}: {without} ({missing[0]} is missing)")
    kept: dict[str, Tensor] = {own: given[there] for there, own in places.items()}
    misfits = [name for name, tensor in network.state_dict().items() if kept[name].shape != tensor.shape]
    if misfits:
        raise UserError(f"{folder}: its encoder is of another form ({misfits[0]})")
    with torch.no_grad():
        network.load_state_dict(kept)
    return weights


def _unread(file: Path, error: Unfit | OSError) -> UserError:
    told = error.strerror if isinstance(error, OSError) else error
    return UserError(f"{file}: cannot be read ({told}); copy the bundle again from its source")
