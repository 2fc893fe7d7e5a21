"""Readings of frames gathered to sequences: one clip, or one folder of frames, of one study."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from secondread.cohorts.row import shared_file
from secondread.cohorts.sequences import before_number
from secondread.readings.reading import Reading
from secondread.wording.short import Short


@dataclass(frozen=True, repr=False)
class FrameSequence(Short):
    """Frames of one file or folder, in their order.

    source  the file or the folder, as the readings name it; of a folder with several sequences of one study,
            what the names of this one's frames begin with
    """

    study_id: str
    source: str
    frames: tuple[Reading, ...]

    @property
    def timed(self) -> bool:
        """Whether each frame says when it was taken."""
        return all(frame.time_s is not None for frame in self.frames)

    @property
    def places(self) -> tuple[float, ...]:
        """Of each frame its seconds, where all have them, else its number."""
        return tuple(float((frame.time_s if self.timed else frame.frame) or 0.0) for frame in self.frames)

    @property
    def worst(self) -> Reading | None:
        """The frame with the highest score, the first of several; None where none has one."""
        scored = [frame for frame in self.frames if frame.score is not None]
        return max(scored, key=lambda frame: frame.score or 0.0, default=None)

    @property
    def flagged(self) -> int | None:
        """How many frames are flagged; None where none was judged."""
        if all(frame.flagged is None for frame in self.frames):
            return None
        return sum(bool(frame.flagged) for frame in self.frames)

    @property
    def failed(self) -> int:
        return sum(frame.failed for frame in self.frames)


def sequences_of(rows: Iterable[Reading]) -> list[FrameSequence]:
    """The sequences among readings, those with the highest score first; two frames or more make one."""
    found: dict[tuple[str, str], list[Reading]] = {}
    for row in rows:
        if row.study_id and row.frame is not None:
            source = shared_file(row.path) or str(PurePosixPath(row.path).parent)
            found.setdefault((row.study_id, source), []).append(row)
    found = {key: frames for whole in found.items() for key, frames in _apart(*whole)}
    sequences = [
        FrameSequence(study, source, tuple(sorted(frames, key=lambda frame: frame.frame or 0)))
        for (study, source), frames in found.items()
        if len(frames) > 1
    ]
    return sorted(sequences, key=_falling)


def _apart(place: tuple[str, str], frames: list[Reading]) -> Iterator[tuple[tuple[str, str], list[Reading]]]:
    """The frames of one file or folder; where two have one number, those apart whose names begin alike."""
    study, _ = place
    if len({frame.frame for frame in frames}) == len(frames):
        yield place, frames
        return
    alike: dict[tuple[str, str], list[Reading]] = {}
    for frame in frames:
        alike.setdefault((study, before_number(frame.path)), []).append(frame)
    yield from alike.items()


def _falling(sequence: FrameSequence) -> tuple[bool, float]:
    worst = sequence.worst
    return worst is None, -(worst.score or 0.0) if worst is not None else 0.0
