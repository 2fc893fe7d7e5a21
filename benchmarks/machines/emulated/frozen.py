"""Compiled code of frozen networks for ARM, cross-compiled and run by an emulator against torch.

    apt-get install g++-aarch64-linux-gnu qemu-user
    python benchmarks/machines/emulated/frozen.py

Inverted residual blocks, couplings on small maps and structural similarity, on the shapes of their tests, in
two threads. Correctness alone: no speed is told. Ends with 1 where a result is not what it has to be.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

os.environ["SECONDREAD_NATIVE"] = "0"  # what is compared with is not compiled
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "networks" / "inverted_residual"))
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "flows" / "compiled_coupling"))

import test_compiled_blocks as blocks
import test_compiled_couplings as couplings

from secondread.flows.compiled_coupling.kernel import CODE as COUPLINGS
from secondread.flows.compiled_coupling.packed import packed_coupling
from secondread.networks.gaussian_blur import gaussian
from secondread.networks.inverted_residual.kernel import CODE as BLOCKS
from secondread.networks.inverted_residual.packed import packed_block
from secondread.networks.native.forms import Form
from secondread.networks.similarity.kernel import CODE as SIMILARITY
from secondread.networks.structural_similarity import structural_similarity_map

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", ("qemu-aarch64", "-cpu", "max")
LANES, WIDEST = 4, 4
THREADS = 2
SHARED = ("-shared", "-fPIC")


@dataclass(frozen=True)
class Call:
    """What the driver is asked, and what torch says of it.

    arrays  by where their addresses stand in the description
    """

    asked: Sequence[int]
    description: bytes
    arrays: dict[int, Tensor]
    exact: list[Tensor]
    most: float

    def written(self) -> bytes:
        asked = [*self.asked, *[0] * (8 - len(self.asked))]
        sizes = (len(self.description), len(self.arrays), sum(each.numel() for each in self.exact))
        parts = [struct.pack("11q", *asked, *sizes), self.description]
        for place, array in self.arrays.items():
            data = array.contiguous().numpy().tobytes()
            parts += [struct.pack("2q", place, len(data)), data]
        return b"".join(parts)


def block_calls() -> list[Call]:
    found = []
    for *sizes, images, rows, columns in blocks.CASES:
        made, x = blocks.block(*sizes), torch.randn(images, sizes[0], rows, columns)
        packed = packed_block(made, LANES, WIDEST)
        own = len(packed.record)
        given = struct.pack("5q2Q", 0, rows * columns * sizes[0], 1, columns * sizes[0], sizes[0], 0, 0)
        first = own - 8 * len(packed.tensors)
        arrays = {first + 8 * at: tensor for at, tensor in enumerate(packed.tensors)}
        arrays[own] = x.permute(0, 2, 3, 1)
        exact = blocks.exactly(x, [made]).permute(0, 2, 3, 1)
        asked = (1, images, rows, columns, THREADS, own)
        found.append(Call(asked, packed.record + given, arrays, [exact], blocks.TOLERANCE))
    return found


def coupling_calls() -> list[Call]:
    found = []
    for *sizes, images, rows, columns in couplings.CASES:
        made, x = couplings.flow(*sizes), torch.randn(images, sizes[0], rows, columns)
        description, arrays = b"", {}
        for block in made.blocks:
            convolutions = (block.subnet[0], block.subnet[2])
            parameters = (block.scale_before_softplus, block.offset, block.permutation)
            packed = packed_coupling(block, convolutions, *parameters, 2.0, block.halves[0], LANES, WIDEST)
            places = (40, 48, 80, 88, 96, 104, 112)
            for place, tensor in zip(places, packed.tensors, strict=True):
                arrays[len(description) + place] = tensor
            description += packed.record
        arrays[len(description)] = x.permute(0, 2, 3, 1)
        asked = (len(made.blocks), images, rows, columns, THREADS, len(description), x.numel())
        z, log_determinant = made.transform(x)
        exact = [z.permute(0, 2, 3, 1), log_determinant]
        found.append(Call(asked, description + bytes(8), arrays, exact, 1e-5))
    return found


def similarity_calls() -> list[Call]:
    found = []
    for planes, rows, columns in ((6, 21, 34), (1, 9, 14), (3, 11, 1)):
        x = torch.rand(planes, 1, rows, columns)
        y = (x + 0.1 * torch.randn_like(x)).clamp(0, 1)
        weights = [gaussian(min(11, length), 1.5) for length in (rows, columns)]
        sizes = (planes, rows, columns, *map(len, weights), THREADS)
        description = struct.pack("6q4Q2f", *sizes, 0, 0, 0, 0, 1e-4, 9e-4)
        arrays = {48 + 8 * at: tensor for at, tensor in enumerate((x, y, *weights))}
        found.append(Call((), description, arrays, [structural_similarity_map(x, y)], 1e-5))
    return found


def check(name: str, form: Form, kind: int, calls: Sequence[Call], folder: Path) -> bool:
    flags = [*(flag for flag in form.flags if flag not in SHARED), *form.includes, "-static"]
    source = [f'-DSOURCE="{form.path.name}"', f"-DKIND={kind}", f"-I{form.path.parent}"]
    driver, program = Path(__file__).with_name("frozen_driver.cpp"), folder / f"driver-{kind}"
    subprocess.run([COMPILER, *flags, *source, str(driver), "-o", str(program)], check=True)
    (folder / "in").write_bytes(b"".join(call.written() for call in calls))
    subprocess.run([*EMULATOR, str(program), str(folder / "in"), str(folder / "out")], check=True)
    numbers = torch.from_numpy(np.fromfile(folder / "out", np.float32))
    good = True
    for call in calls:
        for exact in call.exact:
            own, numbers = numbers.split([exact.numel(), len(numbers) - exact.numel()])
            figure = float((own.double() - exact.flatten().double()).abs().max() / exact.abs().max())
            good &= figure <= call.most
            print(f"{form.name:8s} {name:12s} {tuple(exact.shape)!s:20s} {figure:.1e} of {call.most:.0e}")
    return good and not len(numbers)


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    made: list[tuple[str, Sequence[Form], Callable[[], list[Call]]]] = [
        ("blocks", BLOCKS.forms, block_calls),
        ("couplings", COUPLINGS.forms, coupling_calls),
        ("similarity", SIMILARITY.forms, similarity_calls),
    ]
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for kind, (name, forms, calls) in enumerate(made):
            for form in (form for form in forms if form.machine == "aarch64"):
                good &= check(name, form, kind, calls(), Path(folder))
    sys.exit(not good)


if __name__ == "__main__":
    main()
