"""Floating-point operations: how many of them a second this machine makes, and how many `aeflow` asks for.

Imported by the scripts that measure shares of a floor.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from secondread.detectors.flows.aeflow import AEFlow


def cpu_seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def contenders(dtype: torch.dtype, size: int = 1024) -> dict[str, tuple[float, Callable[[], object]]]:
    """Each library's best case: its floating-point operations, and what makes them."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    order = torch.channels_last
    x = torch.randn(1, 256, 64, 64).to(dtype).contiguous(memory_format=order)
    weight = torch.randn(256, 256, 3, 3).to(dtype).contiguous(memory_format=order)
    return {
        "matrix product": (2 * size**3, lambda: torch.nn.functional.linear(a, b)),
        "convolution": (2 * 9 * 256**2 * 64**2, lambda: torch.nn.functional.conv2d(x, weight, padding=1)),
    }


@torch.inference_mode()
def rates(dtype: torch.dtype, rounds: int = 10) -> dict[str, float]:
    """Floating-point operations per CPU second of `contenders`, on this thread count."""
    made = contenders(dtype)
    found = dict.fromkeys(made, 0.0)
    for _ in range(rounds):
        for name, (count, work) in made.items():
            found[name] = max(found[name], count / cpu_seconds(work))
    return found


def operations(detector: AEFlow, images: torch.Tensor) -> dict[str, float]:
    """Floating-point operations per image of encoder, flow and decoder, counted with gradient on, since
    the fused inference path is invisible to the counter."""
    found = {}
    with torch.enable_grad():
        images = images.clone().requires_grad_()
        with FlopCounterMode(display=False) as encoder:
            maps = nn.Module.__call__(detector.encoder, images)
        h = detector.normalisation(detector.encode(images)[0]).clone().requires_grad_()
        with FlopCounterMode(display=False) as flow:
            z, _ = detector.flow.transform(h)
        with FlopCounterMode(display=False) as decoder:
            detector.decoder(z)
    del maps
    for name, counter in (("encoder", encoder), ("flow", flow), ("decoder", decoder)):
        found[name] = counter.get_total_flops() / len(images)
    return found
