"""What frozen encoders gain by weights that are kept in oneDNN's own order.

    python benchmarks/speed/packed_weights.py efficientnet_lite0:stage7 resnet18:layer4 --rounds 25

Each encoder, with random weights and up to a layer (its default, of stride 16, where none is given), is
asked for the same images in turns: with the weights as the package keeps them, and with the folded
weights in channels-last order, which oneDNN brings into its own at each call. Least processor time of the
rounds, one thread; the largest difference of the two is told.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch import Tensor

from secondread.networks.convolution3 import fused_convolution
from secondread.networks.encoders import ENCODERS
from secondread.scoring.bf16_speed import processor_name


@contextmanager
def plain() -> Iterator[None]:
    """Convolutions that begin within the block get weights in channels-last order."""
    packed = torch.ops.mkldnn._reorder_convolution_weight
    torch.ops.mkldnn._reorder_convolution_weight = lambda weight, *_: weight
    try:
        yield
    finally:
        torch.ops.mkldnn._reorder_convolution_weight = packed


def seconds(ask: Callable[[Tensor], list[Tensor]], images: Tensor) -> tuple[float, list[Tensor]]:
    begun = time.process_time()
    found = ask(images)
    return time.process_time() - begun, found


@torch.no_grad()
def measure(name: str, size: int, batch: int, rounds: int) -> None:
    torch.manual_seed(0)
    encoder, _, layer = name.partition(":")
    layers = (layer,) if layer else None
    packed, other = (ENCODERS.find(encoder)(layers, pretrained=False).eval() for _ in range(2))
    other.load_state_dict(packed.state_dict())
    images = torch.rand(batch, 1, size, size)
    packed(images)
    with plain():
        other(images)
    least, apart = {"packed": math.inf, "plain": math.inf}, 0.0
    for number in range(rounds):
        turns = {"packed": packed, "plain": other}
        found = {}
        for turn in sorted(turns, reverse=bool(number % 2)):
            taken, found[turn] = seconds(turns[turn], images)
            least[turn] = min(least[turn], taken)
        apart = max(
            float((one - two).abs().max()) for one, two in zip(found["packed"], found["plain"], strict=True)
        )
    each = {turn: 1000 * taken / batch for turn, taken in least.items()}
    print(
        f"{name}, batch {batch}: {each['plain']:.1f} ms an image, packed {each['packed']:.1f} ms: "
        f"{each['plain'] / each['packed']:.2f} times as fast; apart by {apart:.2g}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("encoders", nargs="+", metavar="ENCODER[:LAYER]")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=25)
    given = parser.parse_args()
    torch.set_num_threads(1)
    where = fused_convolution.onednn_takes(torch.float32)
    print(f"{processor_name()}, float32{'' if where else ', without oneDNN: both are alike'}")
    for name in given.encoders:
        for batch in given.batches:
            measure(name, given.size, batch, given.rounds)


if __name__ == "__main__":
    main()
