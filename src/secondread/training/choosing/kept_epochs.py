"""Parameters of an epoch on disk, beside the checkpoints, for whoever studies how a detector comes to be.

One file per epoch, `epochs/STAGE-00005.safetensors` for the fifth: what the stage trains, and all buffers.
A resumed fit writes the same files again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from secondread.errors import UserError
from secondread.outputs.whole import write_whole
from secondread.strict.plain_file import Unfit, open_plain
from secondread.strict.tensor_file import read_header

FOLDER = "epochs"


@dataclass(frozen=True)
class KeptEpoch:
    """stage, and epoch from 0."""

    stage: str
    epoch: int
    path: Path

    def state(self) -> dict[str, Tensor]:
        try:
            with open_plain(self.path) as file:
                read_header(file)
            return load_file(self.path)
        except (Unfit, OSError) as error:
            raise UserError(f"{self.path}: no kept epoch ({error}); remove it") from error


def keep_epoch(directory: Path, stage: str, epoch: int, state: Mapping[str, Tensor]) -> None:
    """`UserError` where the disk does not take it."""
    whole = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in state.items()
    }
    write_whole(directory / FOLDER / f"{stage}-{epoch + 1:05d}.safetensors", save(whole))


def kept_epochs(directory: Path) -> list[KeptEpoch]:
    """Those of a fit's `directory`, by stage and epoch."""
    found = []
    for path in sorted((directory / FOLDER).glob("*.safetensors")):
        stage, _, number = path.stem.rpartition("-")
        found.append(KeptEpoch(stage, int(number) - 1, path))
    return found
