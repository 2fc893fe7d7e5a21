"""The images of a run in little memory, each an `Item` when it is asked for."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from functools import cached_property

from secondread.cohorts.sequences import numbered_frames
from secondread.packed import Packed
from secondread.readings.streamed.item import Item
from secondread.texts import Places, Texts

_NO_FRAME = -1


class Items(Packed[Item]):
    """Images in columns: their texts and some 60 bytes each, in place of some 700."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._texts = {name: Texts() for name in ("path", "reference", "study_id", "patient_id", "problem")}
        self._frames, self._times = array("q"), array("d")
        for item in items:
            self.append(item)

    def append(self, item: Item) -> None:
        for name, texts in self._texts.items():
            texts.append(getattr(item, name))
        self._frames.append(_NO_FRAME if item.frame is None else item.frame)
        self._times.append(math.nan if item.time_s is None else item.time_s)

    def number_frames(self) -> None:
        """Give those a frame that are frames by their names alone (see `sequences.numbered_frames`)."""
        for at, number in numbered_frames(self, [item.frame is not None for item in self]):
            self._frames[at] = number

    @property
    def paths(self) -> Texts:
        return self._texts["path"]

    @property
    def patients(self) -> Texts:
        return self._texts["patient_id"]

    @property
    def some_frames(self) -> bool:
        """Whether one of them is a frame of a sequence."""
        return any(frame != _NO_FRAME for frame in self._frames)

    @property
    def references(self) -> Texts:
        return self._texts["reference"]

    def find(self, path: str) -> int | None:
        """The number of the image that the readings call so; None = it is none of these."""
        return self._places.first(path, self.paths)

    @cached_property
    def _places(self) -> Places:
        return Places(self.paths)

    def __len__(self) -> int:
        return len(self._frames)

    def made(self, at: int) -> Item:
        frame, time = self._frames[at], self._times[at]
        return Item(
            **{name: texts[at] for name, texts in self._texts.items()},
            frame=None if frame == _NO_FRAME else frame,
            time_s=None if math.isnan(time) else time,
        )
