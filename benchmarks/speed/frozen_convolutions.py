"""What frozen encoders gain by compiled 3×3 convolutions (`networks.convolution3.frozen`).

    python benchmarks/speed/frozen_convolutions.py resnet18:layer3 wide_resnet50_2:layer3 --rounds 15

Each encoder, with random weights and up to a layer (its default where none is given), is asked for the same
image in turns with oneDNN's convolutions and with the compiled ones: least processor time of the rounds, one
thread. `apart` is the largest difference of their maps, `from float64` the compiled ones' from the layers
one by one in float64, both as shares of the largest value.

`--layers` times single convolutions in place of encoders, written as INS,OUTS,SIZE, with addition and ReLU.
Six of them take turns with kernels of their own, which thus come from farther away than in a loop over one.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Mapping

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch import Tensor, nn

from secondread.networks.convolution3 import frozen, fused_convolution
from secondread.networks.encoders import ENCODERS
from secondread.scoring.bf16_speed import processor_name

COMPILED = fused_convolution.frozen_kernel
KINDS = {"oneDNN": lambda *_: None, "compiled": COMPILED}
IN_TURN = 6


def least(asked: Mapping[str, Callable[[], list[Tensor]]], rounds: int) -> dict[str, float]:
    """Milliseconds by kind, after one call that is not counted."""
    found = dict.fromkeys(asked, math.inf)
    for number in range(rounds + 1):
        for kind, ask in asked.items():
            fused_convolution.frozen_kernel = KINDS[kind]
            begun = time.process_time()
            ask()
            if number:
                found[kind] = min(found[kind], 1000 * (time.process_time() - begun))
    return found


def apart(found: list[Tensor], exact: list[Tensor]) -> float:
    pairs = zip(found, exact, strict=True)
    return max(float((one - two).abs().max() / two.abs().max()) for one, two in pairs)


def told(
    name: str, milliseconds: Mapping[str, float], asked: Mapping[str, Callable[[], list[Tensor]]]
) -> str:
    maps = {}
    for kind, ask in asked.items():
        fused_convolution.frozen_kernel = KINDS[kind]
        maps[kind] = ask()
    one, two = milliseconds["oneDNN"], milliseconds["compiled"]
    away = apart(maps["compiled"], maps["oneDNN"])
    return f"{name}: {one:.2f} ms, compiled {two:.2f}: {one / two:.2f} times as fast; apart by {away:.1g}"


@torch.no_grad()
def measure_encoder(name: str, size: int, rounds: int) -> str:
    torch.manual_seed(0)
    encoder, _, layer = name.partition(":")
    made = ENCODERS.find(encoder)((layer,) if layer else None, pretrained=False).eval()
    image = torch.rand(1, 1, size, size)
    asked = {kind: lambda: list(made(image)) for kind in KINDS}
    line = told(name, least(asked, rounds), asked)
    fused_convolution.frozen_kernel = COMPILED
    found = list(made(image))
    with torch.enable_grad():  # the layers run one by one
        exact = [one.detach().float() for one in made.double()(image.double())]
    return f"{line}, from float64 by {apart(found, exact):.1g}"


@torch.no_grad()
def measure_layer(name: str, rounds: int) -> str:
    ins, outs, size = map(int, name.split(","))
    torch.manual_seed(0)
    last = torch.channels_last
    x = torch.randn(1, ins, size, size).relu().contiguous(memory_format=last)
    add = torch.randn(1, outs, size, size).contiguous(memory_format=last)
    turns = [nn.Conv2d(ins, outs, 3, padding=1) for _ in range(IN_TURN)]
    asked = {
        kind: lambda: [fused_convolution.convolve(x, convolution, add=add) for convolution in turns]
        for kind in KINDS
    }
    return told(name, {kind: ms / IN_TURN for kind, ms in least(asked, rounds).items()}, asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("encoders", nargs="*", metavar="ENCODER[:LAYER]")
    parser.add_argument("--layers", nargs="+", default=[], metavar="INS,OUTS,SIZE")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{processor_name()}; frozen convolutions {frozen.CHOICE.told()}")
    for name in given.encoders:
        print(measure_encoder(name, given.size, given.rounds), flush=True)
    for name in given.layers:
        print(measure_layer(name, given.rounds), flush=True)


if __name__ == "__main__":
    main()
