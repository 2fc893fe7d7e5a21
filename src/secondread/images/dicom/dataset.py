"""DICOM's data set: bytes become elements, and elements become checked values."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from secondread.images.dicom.numbers import HeaderValueError
from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.filereader import FileDataset

DEFLATED_SYNTAX = b"1.2.840.10008.1.2.1.99"


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Read DICOM inside this: values are checked where used, and pydicom's warnings are not printed."""
    import pydicom.config

    logging.getLogger("pydicom").addHandler(_silence)
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield


_silence = logging.NullHandler()


def parse_dicom(
    path: str, data: bytes, limits: ReadLimits, *, tags: Sequence[str] | None = None, pixels: bool = True
) -> FileDataset:
    """The data set in a file's bytes; with `tags` or without `pixels`, less of it.

    To be called within `quiet_pydicom`. Raises ImageError.
    """
    import pydicom

    if DEFLATED_SYNTAX in data[:1024]:
        _check_deflated(path, data, limits)
    try:
        return pydicom.dcmread(
            io.BytesIO(data),
            force=True,
            stop_before_pixels=not pixels,
            specific_tags=None if tags is None else list(tags),
        )
    except RecursionError as error:
        raise ImageError(path, "sequences nested too deeply to be read") from error
    except MemoryError as error:
        raise ImageError(path, "reading needs more memory than is allowed") from error
    except Exception as error:
        raise ImageError(path, "a DICOM file whose elements cannot be parsed", "export it again") from error


def _check_deflated(path: str, data: bytes, limits: ReadLimits) -> None:
    """Unpack a deflated data set piece by piece and only count, before anything holds it whole."""
    start = 144 + int.from_bytes(data[140:144], "little")
    inflater, count, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, data[start:]
    try:
        while rest and not inflater.eof:
            count += len(inflater.decompress(rest, 1 << 20))
            rest = inflater.unconsumed_tail
            limits.check_bytes(path, count)
    except zlib.error as error:
        raise ImageError(path, "the deflated data set is damaged", "export it again") from error


def value(dataset: Dataset, keyword: str) -> Any:
    """An element's value, or None where it is missing, empty or cannot be understood."""
    try:
        found = dataset.get(keyword)
    except Exception:
        return None
    return None if found is None or (isinstance(found, str) and not found.strip()) else found


def text(dataset: Dataset, keyword: str) -> str:
    """An element as plain text, several values joined by a backslash as in the file; "" where missing."""
    found = value(dataset, keyword)
    if found is None:
        return ""
    if _is_multiple(found):
        return "\\".join(str(one) for one in found)
    return str(found).strip()


def first_item(dataset: Dataset | None, keyword: str) -> Dataset | None:
    """The first item of a sequence, or None where it is missing or empty. Raises HeaderValueError where it is
    there and cannot be understood."""
    if dataset is None or keyword not in dataset:
        return None
    try:
        sequence = dataset[keyword].value
        return sequence[0] if sequence else None
    except Exception as error:
        raise HeaderValueError(f"{keyword} in the header cannot be read") from error


def frame_item(dataset: Dataset, frame: int, keyword: str) -> Dataset | None:
    """A functional group of one frame (PS3.3 C.7.6.16): its own item, else the shared one, else None."""
    own = None
    if "PerFrameFunctionalGroupsSequence" in dataset:
        try:
            groups = dataset["PerFrameFunctionalGroupsSequence"].value
            own = groups[frame] if groups else None
        except Exception as error:
            raise HeaderValueError(f"the header has no functional groups for frame {frame}") from error
    return first_item(own, keyword) or first_item(
        first_item(dataset, "SharedFunctionalGroupsSequence"), keyword
    )


def _is_multiple(found: Any) -> bool:
    from pydicom.multival import MultiValue

    return isinstance(found, MultiValue)
