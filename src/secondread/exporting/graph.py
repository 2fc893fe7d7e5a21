"""A fitted detector's score as an ONNX graph: what `scoring.scorer` hears, before maps are processed and
parts are mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from secondread.detectors.contract import Batch, Detector, Scores, ScoringNoise
from secondread.errors import UserError
from secondread.exporting.draws import Draw
from secondread.exporting.no_graph import NoGraphError
from secondread.exporting.onnx_graph import MODEL_FILE, OPSET
from secondread.networks.as_graph import writing_a_graph
from secondread.scoring.device import memory_format, place
from secondread.wording.extras import install_command

PIXELS, VALID = "pixels", "valid"
SEED = 0
"""Of the example's pixels and draws; a graph does not depend on it."""


@dataclass(frozen=True)
class GraphFacts:
    """What a graph takes and gives.

    inputs   `pixels` float32 `[1, C, *size]`; `valid` bool `[1, 1, *size]`; and for each of `draws` one,
             `draw.0`, `draw.1`, ..., float32 `[1, *shape]`
    outputs  for each part `part.NAME`, float32 `[1]`; for each map `map.NAME`, float32 `[1, 1, *size]`
    size     of the images that it takes: the recipe's, or its window's
    parts    name -> tail
    maps     the names of the maps
    draws    what a detector draws for an image, in this order, from the stream of the image's digest
    files    the names of the files written
    remarks  what is otherwise than in torch, one sentence each
    """

    channels: int
    size: tuple[int, ...]
    parts: Mapping[str, Literal["upper", "two"]]
    maps: tuple[str, ...]
    draws: tuple[Draw, ...]
    opset: int
    files: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def refuse_without_graph(detector: Detector) -> None:
    """UserError where the detector says that its score is no graph."""
    if reason := detector.why_no_graph():
        raise UserError(
            f"detector {detector.settings.name!r}: its score is no graph: it {reason}; score it with torch"
        )


def export_detector(
    detector: Detector, folder: Path, *, file: str = MODEL_FILE, precision: str = "float32"
) -> GraphFacts:
    """Write the graph of a fitted detector into an existing folder, which whoever calls makes whole.

    file       the graph's name; constants that it does not hold lie beside it, in that name with `.data`
    precision  in which torch scores; the graph is float32 in any case, and says so

    Raises UserError where the score is no graph, or `onnx` is not installed.
    """
    refuse_without_graph(detector)
    if find_spec("onnx") is None:
        raise UserError(f"a graph is written with the package onnx; {install_command('onnx')}")
    try:
        return _written(detector, folder, file, precision)
    except (NoGraphError, NotImplementedError) as error:
        raise UserError(
            f"detector {detector.settings.name!r} as it is set: its score is no graph: it {error}; score it "
            "with torch"
        ) from error


def _written(detector: Detector, folder: Path, file: str, precision: str) -> GraphFacts:
    from secondread.exporting.tape import Tape

    detector.eval()
    cpu = torch.device("cpu")
    place(detector, cpu)
    wanted = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    generator = torch.Generator().manual_seed(SEED)
    shape = (1, detector.channels, *detector.size)
    pixels = torch.rand(shape, generator=generator).contiguous(memory_format=memory_format(len(shape) - 2))
    valid = torch.ones(1, 1, *detector.size, dtype=torch.bool)
    noise = ExampleNoise(generator)
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        with torch.no_grad(), writing_a_graph():
            score_of(detector, pixels, valid, noise)
            drawn = list(noise.drawn)
            with Tape() as tape:
                tape.input(PIXELS, pixels)
                tape.input(VALID, valid)
                for number, (_, values) in enumerate(drawn):
                    tape.input(f"draw.{number}", values)
                scores = score_of(detector, pixels, valid, GivenNoise([values for _, values in drawn]))
                for name, part in scores.parts.items():
                    tape.output(f"part.{name}", part.values.float())
                for name, found in scores.maps.items():
                    tape.output(f"map.{name}", found.float())
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
    remarks: tuple[str, ...] = ()
    if precision != "float32":
        remarks = (f"torch scores it in {precision}, the graph in float32: scores differ by that much",)
    return GraphFacts(
        channels=detector.channels,
        size=tuple(detector.size),
        parts={name: part.tail for name, part in scores.parts.items()},
        maps=tuple(scores.maps),
        draws=tuple(draw for draw, _ in drawn),
        opset=OPSET,
        files=tape.graph.write(folder, file),
        remarks=remarks,
    )


def score_of(detector: Detector, pixels: Tensor, valid: Tensor, noise: ScoringNoise) -> Scores:
    return detector.score(Batch(pixels, valid, digests=("0" * 64,)), noise, maps=True)


class ExampleNoise(ScoringNoise):
    """Notes what is drawn."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__([generator])
        object.__setattr__(self, "drawn", [])

    drawn: list[tuple[Draw, Tensor]]

    def normal(self, shape: Sequence[int]) -> Tensor:
        return self._noted("normal", shape, super().normal(shape))

    def uniform(self, shape: Sequence[int]) -> Tensor:
        return self._noted("uniform", shape, super().uniform(shape))

    def _noted(self, kind: Literal["normal", "uniform"], shape: Sequence[int], values: Tensor) -> Tensor:
        self.drawn.append((Draw(kind, tuple(shape)), values))
        return values


class GivenNoise(ScoringNoise):
    """Gives what was noted, one after the other."""

    def __init__(self, values: Sequence[Tensor]) -> None:
        super().__init__([])
        object.__setattr__(self, "_left", list(values))

    _left: list[Tensor]

    def normal(self, shape: Sequence[int]) -> Tensor:
        return self._left.pop(0)

    uniform = normal
