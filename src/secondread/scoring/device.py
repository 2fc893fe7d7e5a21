"""Which device, which precision, how many processes, and the memory order that convolutions like."""

from __future__ import annotations

import atexit
import logging
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from secondread.errors import UserError
from secondread.scoring.bf16_speed import bf16_speed
from secondread.scoring.device_name import refuse_unknown_device
from secondread.scoring.one_process import OneProcess
from secondread.scoring.processes import process_count

if TYPE_CHECKING:
    from secondread.detectors.contract import Batch
    from secondread.scoring.one_process import Processes

Precision = Literal["float32", "bf16"]
PRECISION_VARIABLE = "SECONDREAD_PRECISION"


def choose_device(name: str | None = "auto") -> torch.device:
    """`auto` (or None): the first CUDA GPU where there is one, else the CPU. `UserError` for a device
    that this machine does not have."""
    if name in (None, "auto"):
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    refuse_unknown_device(name)
    device = torch.device(str(name))
    if device.type == "cuda" and not (
        torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    ):
        raise UserError(
            f"device {name!r} is not there: {torch.cuda.device_count()} CUDA devices found; use cpu"
        )
    return device


def asked_precision(name: str) -> Precision | None:
    """What a recipe's `precision` orders, or SECONDREAD_PRECISION in place of its `auto`; None = neither.
    `UserError` for what is no precision."""
    if name == "auto":
        name = os.environ.get(PRECISION_VARIABLE, "").strip() or "auto"
    if name == "float32":
        return "float32"
    if name == "bf16":
        return "bf16"
    if name != "auto":
        raise UserError(f"precision {name!r} is not known; use auto, float32 or bf16")
    return None


def choose_precision(name: str, device: torch.device) -> Precision:
    """What is asked (`asked_precision`); else bf16 on GPUs that have it in hardware, and on processors that
    were measured to multiply faster in it (`bf16_speed`); else float32."""
    asked = asked_precision(name)
    if asked is not None:
        return asked
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return "bf16" if major >= 8 else "float32"
    return "bf16" if device.type == "cpu" and bf16_speed().speed.wins else "float32"


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def memory_format(rank: int) -> torch.memory_format:
    """The channels-last order for images of this rank."""
    return torch.channels_last if rank == 2 else torch.channels_last_3d


_is_cpu = attrgetter("is_cpu")


def place(module: nn.Module, device: torch.device, parts: list[nn.Module] | None = None) -> None:
    """The module on the device, its convolution weights in channels-last order. What is so already is left
    alone: a detector is placed before every batch that it scores.

    parts  `parts_of(module)`, where they are known
    """
    parts = parts_of(module) if parts is None else parts
    tensors: list[Tensor | None] = []
    for part in parts:
        if part._parameters:
            tensors.extend(part._parameters.values())
        if part._buffers:
            tensors.extend(part._buffers.values())
    found = [tensor for tensor in tensors if tensor is not None]
    on_cpu = device.type == "cpu"
    if not all(map(_is_cpu, found) if on_cpu else (tensor.device == device for tensor in found)):
        module.to(device)
    for part in parts:
        if isinstance(part, _Convolution) and not _in_order(part):
            part.to(memory_format=memory_format(part.weight.ndim - 2))  # type: ignore[call-overload]


def parts_of(module: nn.Module) -> list[nn.Module]:
    """The module and all that it has, one that several have more than once: in a fifth of the time of
    `module.modules()`, which every image that comes alone would wait for."""
    found = [module]
    for part in found:
        if part._modules:
            found.extend([child for child in part._modules.values() if child is not None])
    return found


_Convolution = nn.modules.conv._ConvNd


def _in_order(part: nn.Module) -> bool:
    """Whether its own tensors are in channels-last order to the last stride; where an axis has one entry,
    several orders are the same numbers, among which libraries still choose by the strides."""
    for own in (part._parameters, part._buffers):
        for tensor in own.values():
            if tensor is not None and tensor.ndim > 3 and tensor.stride() != _strides(tensor.shape):
                return False
    return True


@cache
def _strides(shape: torch.Size) -> tuple[int, ...]:
    """Of a contiguous tensor in channels-last order."""
    _, channels, *spatial = shape
    strides = [channels]
    for length in reversed(spatial):
        strides.insert(0, strides[0] * length)
    return (strides[0], 1, *strides[1:])


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device. To a GPU it goes from page-locked memory, so that the host need not wait for
    the copy; what the GPU is told to do afterwards does."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return torch.empty_like(tensor, pin_memory=True).copy_(tensor).to(device, non_blocking=True)
    return tensor.to(device)


def to_device(images: Tensor, device: torch.device) -> Tensor:
    """Images `[N, C, *spatial]` on the device in channels-last order."""
    return moved(images, device).contiguous(memory_format=memory_format(images.ndim - 2))


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on the device, its images, and those that were drawn for it, in channels-last order."""
    batch = batch.each(lambda tensor: moved(tensor, device))
    made = batch.drawn
    if made is not None:
        made = replace(made, images=to_device(made.images, device))
    return replace(batch, images=to_device(batch.images, device), drawn=made)


def make_fabric(device: torch.device, precision: Precision) -> Processes:
    """What a fit computes with in this process: alone, or one of those that `torchrun` launched, which
    Lightning Fabric connects."""
    if process_count() == 1:
        return OneProcess(device, bf16=precision == "bf16")
    from lightning_fabric import Fabric  # as slow to import as torch

    for name in ("lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = Fabric(
        accelerator=device.type,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
        devices=local,
        num_nodes=max(1, process_count() // local),
        strategy="ddp",
    )
    fabric.launch()
    atexit.unregister(leave_process_group)
    atexit.register(leave_process_group)
    return fabric


def leave_process_group() -> None:
    """Ends the processes' connection. Left to the interpreter's end, its threads can abort a finished fit."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


class Repeatable:
    """On a GPU, the kernels that give the same result every time, where there is a choice."""

    def __init__(self, device: torch.device) -> None:
        self.wanted = device.type == "cuda"

    def __enter__(self) -> None:
        self.before = torch.are_deterministic_algorithms_enabled()
        if self.wanted:
            torch.use_deterministic_algorithms(True, warn_only=True)

    def __exit__(self, *_: object) -> None:
        if self.wanted:
            torch.use_deterministic_algorithms(self.before)
