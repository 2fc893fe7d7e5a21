"""A whole map as a DICOM Parametric Map (PS3.3 A.75): float32, every value as the map file has it.

The object must have a Frame of Reference, and each of its frames a place in it. A film has neither. Where its
header says how it lies to the patient (PatientOrientation) and how large its pixels are, its map gets a
frame of reference of its own, which no other object shares: directions and sizes hold, and nobody is told a
position. So does the map of a single slice whose header leaves the UID of its frame of reference out. A film
that does not say both, and a clip, give none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.errors import DataError
from secondread.images.dicom.dataset import text
from secondread.images.dicom.geometry import Plane, flat_spacing, plane_from
from secondread.images.dicom.numbers import HeaderValueError, numbers
from secondread.results import concepts
from secondread.results.dicom.body_part import set_body_part
from secondread.results.dicom.coding_scheme import coding_scheme
from secondread.results.dicom.headers import CHARACTER_SET
from secondread.results.dicom.quiet import quiet_writing
from secondread.results.dicom.source import Source, StoredPlane
from secondread.results.dicom.stand_ins import refer, stand_ins

if TYPE_CHECKING:
    from highdicom.pm import RealWorldValueMapping
    from pydicom import Dataset

LABEL = "ANOMALY"
_MEANING = "Anomaly score of each pixel, higher is more abnormal"
_DIRECTIONS = {
    "L": (1, 0, 0),
    "R": (-1, 0, 0),
    "P": (0, 1, 0),
    "A": (0, -1, 0),
    "H": (0, 0, 1),
    "F": (0, 0, -1),
}
"""LPS, by the letter of PatientOrientation that counts most."""


class NoParametricMap(DataError):
    """A source for whose map DICOM has no object of this kind."""


def parametric_map(
    source: Source, heat: NDArray[np.float32], *, scale: tuple[float, float] | None = None, **identity: Any
) -> Dataset:
    """The map as it is.

    heat      on the file's grid, as `write_maps` writes it
    scale     the values that viewers show as black and white first: the `map_scale` of the run; None = the
              map's own lowest and highest
    identity  UIDs, numbers and equipment, as highdicom's constructors take them

    Real-world value = stored value, without a unit. Raises NoParametricMap where the source has no place that
    the object could state; DataError where the map is not of the source's size, or the source is a volume
    without a place.
    """
    from highdicom import VOILUTTransformation
    from highdicom.pm import ParametricMap

    source.require_place()
    values = source.slices_of(heat).astype(np.float32, copy=False)
    with quiet_writing():
        slices, frame_of_reference = _placed(source, identity["sop_instance_uid"])
        made = ParametricMap(
            stand_ins(source, slices, frame_of_reference),
            values,
            contains_recognizable_visual_features=_shows_a_face(source),
            real_world_value_mappings=[_mapping(values)],
            voi_lut_transformations=[
                VOILUTTransformation(*_window(values, scale), voi_lut_function="LINEAR_EXACT")
            ],
            content_label=LABEL,
            content_description=_MEANING,
            specific_character_set=CHARACTER_SET,
            **identity,
        )
        set_body_part(made, source.headers[0])
        made.CodingSchemeIdentificationSequence = [coding_scheme()]
        refer(made, source, slices)
        return made


def _shows_a_face(source: Source) -> bool:
    """Whether the source's header says that a person can be recognised in it, and so perhaps in its map."""
    return text(source.headers[0], "RecognizableVisualFeatures").upper() == "YES"


def _mapping(values: NDArray[np.float32]) -> RealWorldValueMapping:
    from highdicom.pm import RealWorldValueMapping
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    quantity = concepts.PIXEL_SCORE
    return RealWorldValueMapping(
        lut_label=LABEL,
        lut_explanation=_MEANING,
        unit=codes.UCUM.NoUnits,
        value_range=(float(values.min()), float(values.max())),
        slope=1.0,
        intercept=0.0,
        quantity_definition=CodedConcept(quantity.value, concepts.SCHEME, quantity.meaning),
    )


def _window(values: NDArray[np.float32], scale: tuple[float, float] | None) -> tuple[float, float]:
    """Centre and width."""
    low, high = scale or (float(values.min()), float(values.max()))
    return (low + high) / 2, (high - low) if high > low else 1.0


def _placed(source: Source, uid: str) -> tuple[list[StoredPlane], str]:
    """The slices with their places, and the frame of reference that these are in."""
    from pydicom.uid import generate_uid

    slices = source.slices
    if source.frame_of_reference:
        return slices, source.frame_of_reference
    if len(slices) > 1:
        raise NoParametricMap(
            f"{source.reference}: no parametric map, since its frames have no place in the patient, "
            "which that object must state; the map is there as NIfTI"
        )
    place = slices[0].place or _of_film(source, slices[0])
    return [replace(slices[0], place=place)], generate_uid(entropy_srcs=[uid, "frame of reference"])


def _of_film(source: Source, plane: StoredPlane) -> Plane:
    """A plane of a film's size and directions, its first pixel at zero."""
    header = source.headers[plane.header]
    try:
        spacing, _ = flat_spacing(header, (plane.frame or 1) - 1)
        directions = numbers(header, "ImageOrientationPatient", 6) or _directions(header)
    except HeaderValueError:
        spacing, directions = None, []
    place = plane_from([0, 0, 0], directions or [1, 0, 0, 0, 1, 0], spacing or [1, 1])
    missing = [
        *(["PatientOrientation"] if not directions or place is None else []),
        *(["a pixel spacing"] if spacing is None else []),
    ]
    if missing:
        raise NoParametricMap(
            f"{source.reference}: no parametric map, since its header does not say {' and '.join(missing)}, "
            "which that object must state; the map is there as TIFF"
        )
    assert place is not None
    return place


def _directions(header: Dataset) -> list[float]:
    """Those along a row and down a column as PatientOrientation says them; empty where it does not."""
    said = text(header, "PatientOrientation").split("\\")
    along = [_DIRECTIONS[one[:1]] for one in said if one[:1] in _DIRECTIONS]
    return [float(one) for direction in along for one in direction] if len(along) == 2 else []
