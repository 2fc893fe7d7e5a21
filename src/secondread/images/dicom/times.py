"""When the frames of a DICOM file were taken, where its header says so."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING

from secondread.images.dicom.dataset import frame_item, text
from secondread.images.dicom.numbers import HeaderValueError, numbers

if TYPE_CHECKING:
    from pydicom import Dataset

TIME_TAGS = ("FrameTime", "FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate")
"""What `frame_times` reads, beside the functional groups."""
_MOST_DATED = 5000
"""Files of more frames are not searched for the date of each."""


def frame_times(dataset: Dataset, frames: int) -> tuple[float, ...]:
    """Seconds from the first frame to each; () where the header does not say, or says what cannot be.

    By FrameTimeVector or FrameTime (milliseconds, PS3.3 C.7.6.5), by the date and time of each frame
    (C.7.6.16.2.2), or by CineRate or RecommendedDisplayFrameRate (frames per second), in this order. A wrong
    number among these changes no pixel and refuses no file: the times are left out.
    """
    if frames < 2:
        return ()
    steps = _numbers(dataset, "FrameTimeVector")
    if len(steps) == frames and min(steps) >= 0 and max(steps) > 0:
        return _seconds(accumulate((0.0, *steps[1:])), 1e-3)
    if (step := _one(dataset, "FrameTime")) is not None:
        return _seconds((step * place for place in range(frames)), 1e-3)
    if dated := _dated(dataset, frames):
        return dated
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        if (rate := _one(dataset, keyword)) is not None:
            return _seconds(place / rate for place in range(frames))
    return ()


def _seconds(times: Iterable[float], unit: float = 1.0) -> tuple[float, ...]:
    found = tuple(round(time * unit, 6) for time in times)
    return found if all(map(math.isfinite, found)) else ()


def _one(dataset: Dataset, keyword: str) -> float | None:
    found = _numbers(dataset, keyword)
    return found[0] if len(found) == 1 and found[0] > 0 else None


def _numbers(dataset: Dataset, keyword: str) -> list[float]:
    try:
        return numbers(dataset, keyword)
    except HeaderValueError:
        return []


def _dated(dataset: Dataset, frames: int) -> tuple[float, ...]:
    """By each frame's own date and time; of these only what lies between them leaves the header."""
    if "PerFrameFunctionalGroupsSequence" not in dataset or frames > _MOST_DATED:
        return ()
    for keyword in ("FrameReferenceDateTime", "FrameAcquisitionDateTime"):
        try:
            items = [frame_item(dataset, frame, "FrameContentSequence") for frame in range(frames)]
            dates = [_date("" if item is None else text(item, keyword)) for item in items]
            first = min(dates)
            found = tuple(round((date - first).total_seconds(), 6) for date in dates)
        except (HeaderValueError, ValueError, TypeError, OverflowError):
            continue
        if any(found):
            return found
    return ()


def _date(written: str) -> datetime:
    """DICOM's date and time (PS3.5 6.2, DT) to the second or below. Raises ValueError."""
    form = "%Y%m%d%H%M%S" + (".%f" if "." in written else "")
    return datetime.strptime(written, form + ("%z" if written[-5:-4] in ("+", "-") else ""))
