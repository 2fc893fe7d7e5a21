"""What any DICOM result must be true of, read back with the field's own readers and with nothing of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import tifffile
import validators
from archive import Archive
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

KINDS = {
    str(ComprehensiveSRStorage): "SR",
    str(SegmentationStorage): "SEG",
    str(ParametricMapStorage): "PM",
    str(SecondaryCaptureImageStorage): "SC",
}
ACCEPTED = validators.accepted_findings(Path(__file__).with_name("accepted_findings.yaml"))
IDENTITY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate",
    "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName",
)  # fmt: skip
NEAR = 0.02
"""Of a voxel's edge: how far positions may lie apart that two files state in decimal digits."""


@dataclass(frozen=True)
class Frame:
    """One frame of a segmentation or parametric map, and where it says that it lies (LPS millimetres).

    positions  of every pixel's centre `[rows, columns, 3]`; None where the object states no place
    source     the UID of the instance that it was made of, and its frame from 1 where it names one
    """

    values: NDArray[np.generic]
    positions: NDArray[np.float64] | None
    source: tuple[str, int | None]


def kind_of(result: Dataset) -> str:
    return KINDS[str(result.SOPClassUID)]


def unexplained(file: Path, sources: Iterable[Path]) -> list[str]:
    """Findings of validators that neither the list of accepted ones explains nor a source has itself."""
    kind = kind_of(pydicom.dcmread(file, stop_before_pixels=True))
    said_of_sources = [line for source in sources for line in validators.findings(source)]
    found = validators.findings(file)
    if kind == "SR" and (unread := validators.unreadable_report(file)):
        found.append(f"Error - {unread}")
    return validators.left_over(kind, found, said_of_sources, ACCEPTED)


def unexplained_together(sources: list[Path], files: list[Path]) -> list[str]:
    """The same of results beside their sources, as one study of one patient."""
    alone = validators.disagreements(sources)
    return validators.left_over("STUDY", validators.disagreements([*sources, *files]), alone, ACCEPTED)


def references(result: Dataset) -> dict[str, str]:
    """Every instance that a result names anywhere, and the SOP class that it says of it."""
    found: dict[str, str] = {}
    for one in _items(result):
        if "ReferencedSOPInstanceUID" in one:
            found[str(one.ReferencedSOPInstanceUID)] = str(one.ReferencedSOPClassUID)
    return found


def frames(result: Dataset) -> list[Frame]:
    pixels = result.pixel_array
    pixels = pixels[np.newaxis] if pixels.ndim == 2 else pixels
    each = result.PerFrameFunctionalGroupsSequence
    shared = result.SharedFunctionalGroupsSequence[0]
    assert len(pixels) == len(each) == int(result.NumberOfFrames)
    found = []
    for values, group in zip(pixels, each, strict=True):
        item = group.DerivationImageSequence[0].SourceImageSequence[0]
        number = item.get("ReferencedFrameNumber")
        source = (str(item.ReferencedSOPInstanceUID), None if number is None else int(number))
        found.append(Frame(values, _positions(group, shared, values.shape), source))
    return found


def _positions(group: Dataset, shared: Dataset, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    if "PlanePositionSequence" not in group and "PlanePositionSequence" not in shared:
        return None
    origin = _group(group, shared, "PlanePositionSequence").ImagePositionPatient
    directions = _group(group, shared, "PlaneOrientationSequence").ImageOrientationPatient
    spacing = _group(group, shared, "PixelMeasuresSequence").PixelSpacing
    return grid(origin, directions, spacing, shape)


def grid(
    origin: Iterable[float], directions: Iterable[float], spacing: Iterable[float], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """LPS millimetres of every pixel's centre `[rows, columns, 3]`, by PS3.3 C.7.6.2.1.1."""
    along_row, along_column = np.array(list(directions), np.float64).reshape(2, 3)
    between_rows, between_columns = (float(value) for value in spacing)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (
        np.array(list(origin), np.float64)
        + rows[..., np.newaxis] * between_rows * along_column
        + columns[..., np.newaxis] * between_columns * along_row
    )


def _group(group: Dataset, shared: Dataset, name: str) -> Dataset:
    return (group if name in group else shared)[name].value[0]


@cache
def _volume(map_file: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A NIfTI map, and the way from its voxels to LPS millimetres."""
    image = nibabel.load(map_file)
    return np.asarray(image.dataobj, np.float32), np.diag([-1.0, -1, 1, 1]) @ image.affine


def at_positions(map_file: Path, positions: NDArray[np.float64]) -> NDArray[np.float32]:
    """Values of a NIfTI map at places in the patient; each must be the centre of a voxel."""
    values, to_patient = _volume(map_file)
    back = np.linalg.inv(to_patient)
    index = positions @ back[:3, :3].T + back[:3, 3]
    nearest = np.rint(index).astype(int)
    assert np.abs(index - nearest).max() < NEAR, "the frame lies beside the map"
    return values[tuple(np.moveaxis(nearest, -1, 0))]


def height(map_file: Path, frame: Frame) -> float:
    """Where a frame lies along the slices of a NIfTI map, wherever that has its slices: for their order."""
    assert frame.positions is not None
    return round(float(frame.positions[0, 0] @ _volume(map_file)[1][:3, 2]), 3)


def slice_of(map_file: Path, number: int) -> NDArray[np.float32]:
    """A slice of a NIfTI map as rows and columns."""
    return _volume(map_file)[0][..., number].T


def map_of(map_file: Path) -> NDArray[np.float32]:
    """A map that was written as TIFF."""
    return np.asarray(tifffile.imread(map_file), np.float32)


def numbers(report: Dataset) -> dict[str, dict[str, float]]:
    """The measurements of a structured report: of each group, by its tracking identifier, value by code."""
    found: dict[str, dict[str, float]] = {}
    for group in _items(report):
        if _code(group) != "125007":
            continue
        content = list(group.ContentSequence)
        name = next(str(one.TextValue) for one in content if _code(one) == "112039")
        found[name] = {_code(one): _number(one) for one in content if one.ValueType == "NUM"}
    return found


def _number(item: Dataset) -> float:
    """In full where the report gives it, else in DICOM's 16 characters (PS3.3 C.18.1)."""
    measured = item.MeasuredValueSequence[0]
    return float(measured.get("FloatingPointValue", measured.NumericValue))


def _code(item: Dataset) -> str:
    concept = item.get("ConceptNameCodeSequence")
    return str(concept[0].CodeValue) if concept else ""


def _items(dataset: Dataset) -> Iterator[Dataset]:
    """The data set and all items in it."""
    yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _items(item)


def same_identity(result: Dataset, source: Dataset) -> None:
    for keyword in IDENTITY:
        assert str(result.get(keyword, "")) == str(source.get(keyword) or ""), keyword


def stored_beside(files: list[Path], archive: Archive) -> None:
    """Results go into an archive that has their sources, by C-STORE and by STOW, and come back as they were,
    by WADO and by C-GET; each names nothing that the archive does not hold."""
    assert set(archive.send(files).values()) == {0}
    results = [pydicom.dcmread(file) for file in files]
    held = archive.instances(str(results[0].StudyInstanceUID))
    for result in results:
        uid = str(result.SOPInstanceUID)
        assert held[uid] == str(result.SOPClassUID)
        for named, sop_class in references(result).items():
            assert held.get(named) == sop_class, f"{kind_of(result)} names what the archive lacks"
        fetched = archive.fetch(str(result.StudyInstanceUID), str(result.SeriesInstanceUID), uid)
        assert fetched == result
    assert archive.get(results[0]) == results[0]
    assert set(archive.post(files)) == {str(result.SOPInstanceUID) for result in results}
