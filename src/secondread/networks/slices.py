"""Volumes read slice by slice by an encoder of pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from secondread.networks.cells import Cells, cells_of, resample
from secondread.networks.encoder import Encoder, SliceSettings

PIXELS = 1 << 19
"""Of the slices that go through the encoder at once, so that memory does not grow with the volume."""
Window = tuple[int, int]


class SliceEncoder(Encoder):
    """The maps of an encoder of pictures for volumes: `[N, C, D, H, W]` to a tuple of `[N, C', d, h, w]`.

    Across each of `axes` the volume is cut into slices, one voxel thick, which the encoder reads as pictures.
    The maps of neighbouring slices are averaged (or their maximum is taken) to the map of a cell. A cell is
    `thickness` slices deep, by default as many as its stride within the slice, so that cells are cubes; where
    the number of slices is no multiple of that, cells are all equally much thinner, and share a slice where
    their bounds fall into one. Where there are several axes, all maps of a level are brought to the cells of
    the first by where they look (`networks.cells`), and joined by channels in the order of `axes`.

    Volumes pass one by one and slices a few at a time, so that a volume's maps do not depend on its batch and
    memory is that of the cells and of `PIXELS` pixels in the encoder.
    """

    ranks = frozenset({3})

    def __init__(self, encoder: Encoder, settings: SliceSettings) -> None:
        super().__init__()
        self.encoder = encoder
        self.axes, self.thickness, self.pool = settings.axes, settings.thickness, settings.pool
        self.channels = tuple(len(self.axes) * width for width in encoder.channels)
        self._found: dict[tuple[int, ...], tuple[Cells, ...]] = {}

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        every = [self._maps(image) for image in images]
        return tuple(torch.stack(maps) for maps in zip(*every, strict=True))

    def map_cells(self, channels: int, size: Sequence[int]) -> tuple[Cells, ...]:
        return self._cells_across(self.axes[0], channels, size)

    def _maps(self, image: Tensor) -> list[Tensor]:
        """Each level's map `[C', d, h, w]` of a volume `[C, D, H, W]`."""
        channels, *size = image.shape
        joined: list[list[Tensor]] = [[] for _ in self.channels]
        first = self.map_cells(channels, size)
        for axis in self.axes:
            cells = self._cells_across(axis, channels, size)
            for level, found in enumerate(self._across(axis, image)):
                if joined[level]:
                    grid = joined[level][0].shape[1:]
                    found = resample(found[None], cells[level], first[level], grid)[0]
                joined[level].append(found)
        return [maps[0] if len(maps) == 1 else torch.cat(maps) for maps in joined]

    def _across(self, axis: int, image: Tensor) -> list[Tensor]:
        """The same of slices across one axis."""
        slices = image.movedim(1 + axis, 0)
        length, channels, *plane = slices.shape
        pooled = [
            _Pooled(self._windows(length, cells), self.pool) for cells in self._cells_within(channels, plane)
        ]
        for some in slices.split(max(1, PIXELS // math.prod(plane))):
            for level, maps in zip(pooled, self.encoder(some), strict=True):
                level.add(maps)
        return [torch.stack(level.cells, dim=1 + axis) for level in pooled]

    def _cells_across(self, axis: int, channels: int, size: Sequence[int]) -> tuple[Cells, ...]:
        """Of each level's map of a volume by slices across one axis."""
        length, plane = size[axis], [side for other, side in enumerate(size) if other != axis]
        found = []
        for within in self._cells_within(channels, plane):
            depth = length / len(self._windows(length, within))
            offset, stride = list(within.offset), list(within.stride)
            offset.insert(axis, (depth - 1) / 2)
            stride.insert(axis, depth)
            found.append(Cells(tuple(offset), tuple(stride)))
        return tuple(found)

    def _cells_within(self, channels: int, plane: Sequence[int]) -> tuple[Cells, ...]:
        """Of each level's map of a slice."""
        key = (channels, *plane)
        if key not in self._found:
            self._found[key] = cells_of(self.encoder, channels, plane)
        return self._found[key]

    def _windows(self, length: int, within: Cells) -> list[Window]:
        """From which slice to before which each cell goes, for `length` slices of these cells."""
        thickness = self.thickness or max(1, round(sum(within.stride) / 2))
        count = math.ceil(length / thickness)
        return [(cell * length // count, -((cell + 1) * length // -count)) for cell in range(count)]


class _Pooled:
    """Maps `[slices, C, h, w]` that come a few slices at a time, pooled over windows of slices as soon as
    these are whole: `cells`, each `[C, h, w]`. A slice is kept no longer than a window needs it."""

    def __init__(self, windows: Sequence[Window], pool: str) -> None:
        self.windows, self.pool = windows, pool
        self.cells: list[Tensor] = []
        self.kept: Tensor | None = None
        self.first = 0

    def add(self, maps: Tensor) -> None:
        kept = maps if self.kept is None else torch.cat((self.kept, maps))
        end = self.first + len(kept)
        while len(self.cells) < len(self.windows) and self.windows[len(self.cells)][1] <= end:
            begin, behind = self.windows[len(self.cells)]
            self.cells.append(self._pooled(kept[begin - self.first : behind - self.first]))
        needed = self.windows[len(self.cells)][0] if len(self.cells) < len(self.windows) else end
        self.kept, self.first = kept[needed - self.first :].clone(), needed

    def _pooled(self, maps: Tensor) -> Tensor:
        if self.pool == "max":
            return maps.amax(dim=0)
        return maps.mean(dim=0, dtype=torch.float32).to(maps.dtype)
