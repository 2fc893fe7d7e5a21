"""Stored values become physical ones: modality LUT, palette, polarity, display window, padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.dicom.dataset import first_item, frame_item, text, value
from secondread.images.dicom.numbers import HeaderValueError, number, numbers, whole_number
from secondread.images.image import ImageError, Voi
from secondread.images.precision import as_float

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.filereader import FileDataset

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True)
class Values:
    """Physical values `[frames, rows, columns, 1 or 3]`, with window and padding on the same scale."""

    pixels: NDArray[Any]
    voi: Voi | None
    padding: NDArray[np.bool_] | None
    remarks: tuple[str, ...] = ()


def physical_values(
    path: str, dataset: FileDataset, stored: NDArray[Any], photometric: str, frames: list[int]
) -> Values:
    """Values in the modality's unit (PS3.3 C.11.1), higher = brighter, and how the header shows them.

    A palette becomes RGB. MONOCHROME1, where low is bright, is turned round within the range that its bits
    can hold, and the window or table with it. Raises ImageError.
    """
    if photometric == "PALETTE COLOR":
        return Values(_palette(path, dataset, stored), None, None)
    if stored.shape[-1] > 1:
        return Values(stored, None, None)
    padding = _padding(dataset, stored[..., 0])
    pixels = _modality(path, dataset, stored, frames)
    voi = _voi(dataset, frames[len(frames) // 2])
    if photometric != "MONOCHROME1":
        return Values(pixels, voi, padding)
    total = _lowest_plus_highest(dataset, stored, pixels, frames)
    turned = (total - pixels.astype(np.float64)).astype(pixels.dtype)
    return Values(
        turned, _turned_voi(voi, total), padding, ("MONOCHROME1: turned so that higher is brighter",)
    )


def _palette(path: str, dataset: FileDataset, stored: NDArray[Any]) -> NDArray[Any]:
    from pydicom.pixels import apply_color_lut

    try:
        return np.asarray(apply_color_lut(stored[..., 0], dataset))[..., :3]
    except Exception as error:
        raise ImageError(path, "the colour palette cannot be applied", "export it again") from error


def _padding(dataset: FileDataset, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where PixelPaddingValue or its range lies; a sign that does not fit is read by its bits."""
    if np.issubdtype(stored.dtype, np.floating):
        low = number(dataset, "FloatPixelPaddingValue", nan=True)
        if low is None:
            low = number(dataset, "DoubleFloatPixelPaddingValue", nan=True)
        if low is None:
            return None
        mask = np.isnan(stored) if np.isnan(low) else stored == stored.dtype.type(low)
        return mask if mask.any() else None
    low, high = number(dataset, "PixelPaddingValue"), number(dataset, "PixelPaddingRangeLimit")
    if low is None:
        return None
    bits = 8 * stored.dtype.itemsize
    ends = [_in_range(end, stored.dtype, bits) for end in (low, low if high is None else high)]
    mask = (stored >= min(ends)) & (stored <= max(ends))
    return mask if mask.any() else None


def _in_range(end: float, dtype: np.dtype[Any], bits: int) -> int:
    limits = np.iinfo(dtype)
    end = int(end)
    if end < limits.min:
        return end + (1 << bits)
    return end - (1 << bits) if end > limits.max else end


def _modality(path: str, dataset: FileDataset, stored: NDArray[Any], frames: list[int]) -> NDArray[Any]:
    """Modality LUT, or slope and intercept (of each frame where they differ), or dose scaling, or nothing."""
    if first_item(dataset, "ModalityLUTSequence") is not None:
        from pydicom.pixels import apply_modality_lut

        try:
            return np.asarray(apply_modality_lut(stored, dataset)).astype(np.float32)
        except Exception as error:
            raise ImageError(path, "the modality LUT cannot be applied", "export it again") from error
    scales = [_slope_intercept(dataset, frame) for frame in frames]
    if all(scale == (1.0, 0.0) for scale in scales):
        return stored

    def rescaled(index: int, every: int = 1) -> NDArray[np.float64]:
        slope, intercept = scales[index]
        exact = stored[index].reshape(-1)[::every].astype(np.float64)
        exact *= slope
        exact += intercept
        return exact

    every = max(1, stored[0].size // 4096)
    sample = np.concatenate([rescaled(index, every) for index in range(len(scales))])
    out = np.empty(stored.shape, as_float(sample).dtype)
    for index in range(len(scales)):
        out[index] = rescaled(index).reshape(stored[index].shape)
    return out


def _slope_intercept(dataset: FileDataset, frame: int) -> tuple[float, float]:
    dose = number(dataset, "DoseGridScaling")
    if dose is not None:
        return dose, 0.0
    group: Dataset | None = frame_item(dataset, frame, "PixelValueTransformationSequence")
    source = dataset if group is None else group
    slope, intercept = number(source, "RescaleSlope"), number(source, "RescaleIntercept")
    if slope == 0:
        raise HeaderValueError("RescaleSlope in the header is zero, which would make every value the same")
    return 1.0 if slope is None else slope, intercept or 0.0


def _lowest_plus_highest(
    dataset: FileDataset, stored: NDArray[Any], pixels: NDArray[Any], frames: list[int]
) -> float:
    """The sum of the two ends of the possible values: the value v turned round is this sum minus v."""
    if np.issubdtype(stored.dtype, np.floating) or first_item(dataset, "ModalityLUTSequence") is not None:
        finite = pixels[np.isfinite(pixels)] if np.issubdtype(pixels.dtype, np.floating) else pixels
        return float(finite.min()) + float(finite.max()) if finite.size else 0.0
    bits = whole_number(dataset, "BitsStored", 8 * stored.dtype.itemsize)
    ends = -1.0 if np.issubdtype(stored.dtype, np.signedinteger) else float(2**bits - 1)
    slope, intercept = _slope_intercept(dataset, frames[0])
    return ends * slope + 2.0 * intercept


def _voi(dataset: FileDataset, frame: int) -> Voi | None:
    """The header's first display window and first lookup table; a width that cannot be is left out."""
    group = frame_item(dataset, frame, "FrameVOILUTSequence")
    source = dataset if group is None else group
    center, width = number(source, "WindowCenter"), number(source, "WindowWidth")
    function = text(source, "VOILUTFunction").upper() or "LINEAR"
    if function not in _FUNCTIONS:
        function = "of a name that DICOM does not know"
    if center is None or width is None or not width > 0 or not np.isfinite([center, width]).all():
        center = width = None
    table, first = _voi_table(source)
    if table is None and center is None:
        return None
    return Voi(center, width, function, table, first)


def _voi_table(source: Dataset) -> tuple[NDArray[np.float32] | None, float]:
    item = first_item(source, "VOILUTSequence")
    if item is None:
        return None, 0.0
    descriptor, data = numbers(item, "LUTDescriptor", 3), value(item, "LUTData")
    if not descriptor or data is None:
        raise HeaderValueError("a lookup table in the header has no descriptor or no data")
    entries, first = int(descriptor[0]) or 65536, descriptor[1]
    try:
        if isinstance(data, bytes):
            table = np.frombuffer(data, "<u2" if len(data) >= 2 * entries else np.uint8)[:entries]
        else:
            table = np.asarray(data, dtype=np.float64)[:entries]
    except (TypeError, ValueError, IndexError) as error:
        raise HeaderValueError("a lookup table in the header cannot be read") from error
    if len(table) < entries:
        raise HeaderValueError(f"a lookup table in the header has {len(table)} of {entries} entries")
    return table.astype(np.float32), first


def _turned_voi(voi: Voi | None, total: float) -> Voi | None:
    """The window and table that show turned values `total − v` as the header's show v, light for dark."""
    if voi is None:
        return None
    center = voi.center
    if center is not None:
        center = total - center + (1.0 if voi.function == "LINEAR" else 0.0)
    if voi.table is None:
        return Voi(center, voi.width, voi.function)
    top = float(2 ** int(np.ceil(np.log2(max(2.0, float(voi.table.max()) + 1.0)))) - 1)
    first = total - (voi.first + len(voi.table) - 1)
    return Voi(center, voi.width, voi.function, np.ascontiguousarray((top - voi.table)[::-1]), first)
