"""Where a map reaches the calibrated pixel threshold, as a binary DICOM Segmentation (PS3.3 A.51).

One segment, found by software, of the category *morphologically abnormal structure* and the type *focal
abnormality*; frames without a pixel of it are left out. A film and a clip have no place in the patient:
their frames say of which frame of the source they are, pixel upon pixel, and nothing more, as the standard
allows.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.dicom.dataset import value
from secondread.results.dicom.headers import CHARACTER_SET
from secondread.results.dicom.quiet import quiet_writing
from secondread.results.dicom.source import Source, StoredPlane
from secondread.results.dicom.stand_ins import point_at, refer, stand_ins

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription
    from pydicom import Dataset

CATEGORY = ("49755003", "SCT", "Morphologically Abnormal Structure")
"""Of CID 7150."""
TYPE = ("130591", "DCM", "Focal abnormality")
FAMILY = ("123110", "DCM", "Artificial Intelligence")
"""Of CID 7162."""
LABEL = "Map reaches the pixel threshold"
_COLOUR = (62.0, 62.0, 58.0)
"""CIELab of a light red."""
_STACK = "1"


def segmentation(
    source: Source,
    heat: NDArray[np.float32],
    threshold: float,
    *,
    algorithm: str,
    version: str,
    tracking_uid: str | None = None,
    description: str = "",
    **identity: Any,
) -> Dataset | None:
    """The pixels of a map that are at or above the threshold; None where there are none.

    Nothing is said by an empty segmentation that the report does not say better, and viewers show it as an
    empty row or refuse it; so there is none.

    heat          the map on the file's grid, as `write_maps` writes it
    threshold     `map_threshold` of the run: at or above it a pixel is called
    algorithm     the model's name, and `version` that of the software
    tracking_uid  names the region where the report speaks of it; None = not tracked
    description   what a reader should know of the threshold, up to 1024 characters
    identity      UIDs, numbers and equipment, as highdicom's constructors take them

    Raises DataError where the map is not of the source's size, or the source a volume without a place.
    """
    source.require_place()
    marked = source.slices_of(heat) >= np.float32(threshold)
    if not marked.any():
        return None
    slices = source.slices
    with quiet_writing():
        describe = _described(algorithm, version, tracking_uid, description)
        if not source.frame_of_reference and len(slices) > 1:
            return _of_frames(source, slices, marked, describe, identity)
        made = _made(stand_ins(source, slices, source.frame_of_reference), marked, describe, identity)
        refer(made, source, slices)
        _as_on_film(made, source)
        return made


def _described(
    algorithm: str, version: str, tracking_uid: str | None, description: str
) -> SegmentDescription:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from highdicom.sr import CodedConcept

    segment = SegmentDescription(
        segment_number=1,
        segment_label=LABEL,
        segmented_property_category=CodedConcept(*CATEGORY),
        segmented_property_type=CodedConcept(*TYPE),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            algorithm, CodedConcept(*FAMILY), version, source="secondread"
        ),
        tracking_uid=tracking_uid,
        tracking_id=None if tracking_uid is None else LABEL,
        display_color=CIELabColor(*_COLOUR),
    )
    if description:
        segment.SegmentDescription = description[:1024]
    return segment


def _made(
    sources: list[Dataset], marked: NDArray[np.bool_], describe: SegmentDescription, identity: dict[str, Any]
) -> Dataset:
    from highdicom.seg import Segmentation, SegmentationTypeValues
    from pydicom.uid import ExplicitVRLittleEndian

    return Segmentation(
        sources,
        marked.view(np.uint8),
        SegmentationTypeValues.BINARY,
        [describe],
        content_label="ANOMALY",
        content_description=LABEL,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
        specific_character_set=CHARACTER_SET,
        **identity,
    )


def _as_on_film(made: Dataset, source: Source) -> None:
    """A film's directions in the patient, empty where it does not say them (PS3.3 C.7.6.1.1.1)."""
    if not source.frame_of_reference:
        made.PatientOrientation = value(source.headers[0], "PatientOrientation") or ""


def _of_frames(
    source: Source,
    slices: list[StoredPlane],
    marked: NDArray[np.bool_],
    describe: SegmentDescription,
    identity: dict[str, Any],
) -> Dataset:
    """Frames without a place, which highdicom makes one at a time: the first of them, and then the others in
    its likeness, ordered by their place in the clip."""
    from pydicom import Dataset
    from pydicom.pixels import pack_bits

    shown = [number for number in range(len(slices)) if marked[number].any()]
    chosen = [slices[number] for number in shown]
    made = _made(stand_ins(source, chosen[:1], ""), marked[shown[:1]], describe, identity)
    refer(made, source, chosen)
    dimensions = made.DimensionIndexSequence
    second = Dataset()
    second.DimensionOrganizationUID = dimensions[0].DimensionOrganizationUID
    second.DimensionIndexPointer, second.FunctionalGroupPointer = 0x00209057, 0x00209111
    second.DimensionDescriptionLabel = "In-Stack Position Number"
    made.DimensionIndexSequence = [dimensions[0], second]
    first = made.PerFrameFunctionalGroupsSequence[0]
    frames = []
    for plane in chosen:
        frame = copy.deepcopy(first)
        content = frame.FrameContentSequence[0]
        content.StackID, content.InStackPositionNumber = _STACK, plane.frame
        content.DimensionIndexValues = [1, plane.frame]
        point_at(frame.DerivationImageSequence[0].SourceImageSequence[0], source, plane)
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence = frames
    made.NumberOfFrames = len(frames)
    made.PixelData = pack_bits(marked[shown].view(np.uint8))
    _as_on_film(made, source)
    return made
