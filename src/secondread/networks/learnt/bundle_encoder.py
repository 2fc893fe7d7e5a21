"""The residual encoder in a bundle's tensors: how it is built, and its weights. Nothing else is believed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from secondread.errors import UserError
from secondread.networks.weights import WeightsFile, read_weights
from secondread.strict.json_text import DOCUMENT as LIMITS
from secondread.strict.json_text import parse_json
from secondread.strict.plain_file import Unfit, open_plain, read_plain
from secondread.strict.tensor_file import TensorForm, read_header

MODEL, DOCUMENT = "model.safetensors", "bundle.json"
PLACE = "encoder."
"""Before the names of its tensors: detectors call the encoder so that they train."""
BLOCK = re.compile(r"levels\.(layer[1-4])\.(\d+)\.")


@dataclass(frozen=True)
class LearntForm:
    """How the encoder of a bundle is built, as the shapes of its tensors say.

    digest  SHA-256 of `bundle.json`, which names the digests of all else
    rank, channels, width, blocks, layers  of `networks.encoders.residual`; the layers are all that it has
    """

    digest: str
    rank: int
    channels: int
    width: int
    blocks: int
    layers: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """`UserError` where there is no bundle, or none with such an encoder."""
        _, digest = _document(folder)
        forms = _tensors_of(folder)
        own = {name.removeprefix(PLACE): form for name, form in forms.items() if name.startswith(PLACE)}
        stem = own.get("stem.weight")
        found = [match.groups() for match in map(BLOCK.match, own) if match]
        if stem is not None and len(stem.shape) in (4, 5) and found:
            width, channels, *kernel = stem.shape
            layers = tuple(sorted({layer for layer, _ in found}))
            blocks = 1 + max(int(number) for _, number in found)
            return cls(digest, len(kernel), channels, width, blocks, layers)
        raise UserError(
            f"{folder / MODEL}: its detector has learnt no encoder of the kind residual; learn one with "
            "`secondread fit one-class-contrastive`, or with another detector whose encoder is residual"
        )

    def load(self, folder: Path, encoder: nn.Module, layers: Sequence[str]) -> WeightsFile:
        """Fills an encoder that has `layers` from the bundle, whose layers behind them are left out."""
        file = folder / MODEL
        document, _ = _document(folder)
        weights = WeightsFile.of(file)
        if document.get("files", {}).get(MODEL, {}).get("sha256") != weights.sha256:
            raise UserError(
                f"{file}: its SHA-256 is not the one in {DOCUMENT}; the bundle was changed or damaged, copy "
                "it again from its source"
            )
        state = {
            name.removeprefix(PLACE): tensor
            for name, tensor in read_weights(file).items()
            if name.startswith(PLACE)
        }
        own = encoder.state_dict()
        missing = sorted(name for name in own if name not in state)
        if missing:
            raise UserError(
                f"{folder}: its encoder has learnt up to {self.layers[-1]}, and {', '.join(layers)} "
                f"{'is' if len(layers) == 1 else 'are'} wanted ({missing[0]} is missing)"
            )
        kept: dict[str, Tensor] = {name: state[name] for name in own}
        misfits = [name for name in own if kept[name].shape != own[name].shape]
        if misfits:
            raise UserError(f"{folder}: its encoder is of another form ({misfits[0]})")
        with torch.no_grad():
            encoder.load_state_dict(kept)
        return weights


def _document(folder: Path) -> tuple[Mapping[str, Any], str]:
    """`bundle.json` and its SHA-256."""
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


def _tensors_of(folder: Path) -> dict[str, TensorForm]:
    try:
        with open_plain(folder / MODEL, links=False) as file:
            return read_header(file)
    except (Unfit, OSError) as error:
        raise _unread(folder / MODEL, error) from None


def _unread(file: Path, error: Unfit | OSError) -> UserError:
    told = error.strerror if isinstance(error, OSError) else error
    return UserError(f"{file}: cannot be read ({told}); copy the bundle again from its source")
