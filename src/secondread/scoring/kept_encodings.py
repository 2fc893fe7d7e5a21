"""What the frozen encoders of a detector say of single images, computed once for fits, calibrations and
scores of all recipes and seeds.

Each image goes through an encoder by itself. What comes out is kept in the cache under a hash of all that it
follows from: the encoder's settings and weights, the image, the precision, the machine, its compiler and its
threads. So what lay there changes no number. Scores take it bit by bit; what is learned from is rounded to
half precision whether or not it was there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache as once
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from secondread.detectors.contract import Detector
from secondread.networks.encoder import Encoder
from secondread.networks.native.build import circumstances
from secondread.scoring.bf16_speed import machine_digest
from secondread.scoring.device import memory_format
from secondread.scoring.output_files import OutputFiles, as_kept
from secondread.scoring.state_digest import state_digest
from secondread.version import __version__

Given = Tensor | None
Answer = Callable[..., Tensor | tuple[Tensor, ...]]


@runtime_checkable
class Identified(Protocol):
    """A module whose outputs for an image follow from its weights and `identity`, which names its kind and
    settings, alone."""

    identity: str


@dataclass
class KeptEncodings:
    """computed, found  images that went through an encoder, and those that were in the cache
    spared_seconds  that the passes of images found had taken when they were made, less what looking for
                    images and keeping them took"""

    cache: Path
    halved: bool
    computed: int = field(default=0, init=False)
    found: int = field(default=0, init=False)
    spared_seconds: float = field(default=0.0, init=False)

    def answer(self, module: nn.Module, size: tuple[int, ...]) -> Answer:
        """The module's `forward`, with this memory: of single images, and of batches of images of `size`."""
        forward, digests = module.forward, _Digest(module)

        def answered(images: Tensor, *others: Given) -> Tensor | tuple[Tensor, ...]:
            at_once = len(images) == 1 or tuple(images.shape[2:]) == size
            if torch.is_grad_enabled() or module.training or images.is_meta or not at_once:
                return forward(images, *others)
            files = OutputFiles(self.cache, _key(digests(), images.device))
            each = []
            for row in range(len(images)):
                given = [_own(images, row), *(_of_row(other, row) for other in others)]
                each.append(self._of_one(forward, files, given))
            joined = [parts[0] if len(each) == 1 else torch.cat(parts) for parts in zip(*each, strict=True)]
            return tuple(joined) if isinstance(module, Encoder) else joined[0]

        return answered

    def _of_one(self, forward: Answer, files: OutputFiles, given: list[Given]) -> tuple[Tensor, ...]:
        begun = time.perf_counter()
        name, device = _name(given), given[0].device if given[0] is not None else "cpu"
        kept = files.find(name, halved=self.halved)
        if kept is not None:
            self.found += 1
            outputs = tuple(value.to(device) for value in kept.outputs)
            self.spared_seconds += kept.seconds - (time.perf_counter() - begun)
            return outputs
        self.computed += 1
        before = time.perf_counter()
        computed = forward(*given)
        outputs = computed if isinstance(computed, tuple) else (computed,)
        on_cpu = [output.detach().cpu() for output in outputs]
        seconds = time.perf_counter() - before
        files.keep(name, on_cpu, seconds, halved=self.halved)
        outputs = as_kept(outputs, self.halved)
        self.spared_seconds -= time.perf_counter() - begun - seconds
        return outputs


@contextmanager
def kept_encodings(
    detector: Detector, cache: Path | None, *, halved: bool = False
) -> Iterator[KeptEncodings | None]:
    """Within it the detector's frozen encoders look into the cache of this folder, and keep there what they
    compute; with None nothing changes. Its weights must not change within it. What takes a gradient, or comes
    as a batch of parts of images, is computed."""
    if cache is None:
        yield None
        return
    kept, modules = KeptEncodings(cache, halved), frozen_modules(detector)
    for module in modules:
        vars(module)["forward"] = kept.answer(module, detector.size)
    try:
        yield kept
    finally:
        for module in modules:
            vars(module).pop("forward")


def frozen_modules(detector: Detector) -> list[nn.Module]:
    """The outermost modules that say what they are (`Identified`) and that no stage changes."""
    changed: set[int] = set()
    for stage in detector.stages():
        trained = [part for step in stage.steps for part in step.trains]
        for part in (*trained, *stage.drifts, *(_named(detector, name) for name in stage.keeps)):
            tensors = part.state_dict(keep_vars=True).values() if isinstance(part, nn.Module) else (part,)
            changed |= set(map(id, tensors))
    return list(_outermost(detector, changed))


def _outermost(module: nn.Module, changed: set[int]) -> Iterator[nn.Module]:
    if isinstance(module, Identified):
        tensors = [*module.parameters(), *module.buffers()]
        if tensors and not any(id(tensor) in changed for tensor in tensors):
            yield module
        return
    for child in module.children():
        yield from _outermost(child, changed)


def _named(detector: nn.Module, name: str) -> nn.Module | Tensor:
    owner, _, last = name.rpartition(".")
    found: nn.Module | Tensor = getattr(detector.get_submodule(owner), last)
    return found


class _Digest:
    """Of a module's identity and state, computed where it is first asked for."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.found = module, ""

    def __call__(self) -> str:
        assert isinstance(self.module, Identified)
        self.found = self.found or f"{self.module.identity} {state_digest(self.module.state_dict())}"
        return self.found


def _key(module: str, device: torch.device) -> str:
    reduced = torch.is_autocast_enabled(device.type)
    precision = str(torch.get_autocast_dtype(device.type)) if reduced else "as given"
    said = [module, precision, _machine(device), torch.get_num_threads(), __version__]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()


@once
def _machine(device: torch.device) -> str:
    graphics = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return f"{device.type} {graphics} {machine_digest()} {circumstances()}"


def _name(given: list[Given]) -> str:
    digest = hashlib.blake2b(digest_size=20)
    for tensor in given:
        if tensor is not None:
            order = memory_format(tensor.ndim - 2)
            orders = tensor.is_contiguous(), tensor.is_contiguous(memory_format=order)
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)} {orders}".encode())
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _own(images: Tensor, row: int) -> Tensor:
    """One image in memory of its own, ordered as scoring has it, whatever batch it came in."""
    if len(images) == 1:
        return images
    image = images[row : row + 1]
    order = memory_format(images.ndim - 2)
    return torch.empty(image.shape, dtype=image.dtype, device=image.device, memory_format=order).copy_(image)


def _of_row(other: Given, row: int) -> Given:
    """A mask's row; None where it is True everywhere, whatever the rest of the batch has."""
    return None if other is None or bool(other[row].all()) else other[row : row + 1]
