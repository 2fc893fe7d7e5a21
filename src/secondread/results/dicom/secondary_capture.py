"""The image with its map over it as a picture that every viewer shows: DICOM's Secondary Capture, RGB.

Of a film the whole image, of a volume or clip the plane with the highest value of the map, as it is stored.
Below it stands a legend: the scale of the map, the score, and that it is for research. The picture has no
place in space, so that nothing is measured in it; where the map lies exactly, the segmentation and the
parametric map say.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from secondread.images.dicom.dataset import text
from secondread.images.image import Image
from secondread.readings.display import display
from secondread.readings.maps import COLOURS, mix
from secondread.readings.reading import Reading
from secondread.results.dicom.body_part import set_body_part
from secondread.results.dicom.identity import RESEARCH_USE, Author, Instance
from secondread.results.dicom.patient import of_a_known_class
from secondread.results.promise import judgement
from secondread.wording.numbers import significant

if TYPE_CHECKING:
    from pydicom import Dataset

    from secondread.results.dicom.source import Source, StoredPlane

SMALLEST, LARGEST = 384, 1024
"""Pixels of the picture's longest side."""
_LINE, _MARGIN = 15, 6
_WORTH_SAYING = 0.3
"""Cosine from which on a direction is part of an orientation's letters."""
_FORWARD, _BACKWARD = "LPH", "RAF"
"""Letters of the positive and negative axes of the patient, LPS."""


def overlay(
    source: Source,
    image: Image,
    heat: NDArray[np.float32],
    scale: tuple[float, float],
    reading: Reading,
    author: Author,
    instance: Instance,
) -> Dataset:
    """The secondary capture of one reading.

    image   as `read_image` gives it for the reading's reference
    heat    its map, on the file's grid
    scale   the map values that show as nothing and as full heat

    To be called within `quiet_writing`. Raises DataError where the map is of another size than the file.
    """
    planes = source.planes_of(heat)
    number = int(np.argmax(planes.reshape(len(planes), -1).max(axis=1)))
    shown = np.stack(
        [source.planes_of(image.geometry.to_file_axes(channel))[number] for channel in display(image)]
    )
    picture, shrink = _sized(mix(shown.astype(np.float32), planes[number], scale))
    plane = source.planes[number]
    header = source.headers[plane.header]
    lines = _words(reading, author, number, len(planes))
    found = _capture(with_legend(picture, scale, lines), author, instance)
    found.copy_patient_and_study_information(of_a_known_class(header))
    _oriented(found, header, plane, shrink)
    found.SourceImageSequence = [_reference(header, plane)]
    found.DerivationDescription = f"Map of an anomaly score over the image. {RESEARCH_USE}."
    if text(header, "BurnedInAnnotation"):  # the legend names nobody, and the image below it may
        found.BurnedInAnnotation = text(header, "BurnedInAnnotation")
    return author.signed(found, header)


def _capture(picture: NDArray[np.uint8], author: Author, instance: Instance) -> Any:
    from highdicom.sc import SCImage
    from pydicom.uid import ExplicitVRLittleEndian

    return SCImage(
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),  # said by `_oriented`
        study_instance_uid="",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **instance.keywords,
        **author.equipment,
    )


def _oriented(found: Any, header: Dataset, plane: StoredPlane, shrink: float) -> None:
    """Orientation, side and pixel spacing as the source has them; what it does not say is empty."""
    if plane.place is not None:
        letters = [_letters(plane.place.along_columns), _letters(plane.place.along_rows)]
        found.PatientOrientation = letters
        spacing = (plane.place.row_spacing * shrink, plane.place.column_spacing * shrink)
        found.PixelSpacing = [f"{value:.10g}" for value in spacing]
    else:
        said = text(header, "PatientOrientation")
        found.PatientOrientation = said.split("\\") if said else None
    set_body_part(found, header)


def _letters(direction: NDArray[np.float64]) -> str:
    """Where a direction points to in the patient, as PatientOrientation says it: `L`, or `LP` for between.

    >>> _letters(np.array([0.0, -0.6, 0.8]))
    'HA'
    """
    order = np.argsort(-np.abs(direction), kind="stable")
    return "".join(
        (_FORWARD if direction[axis] > 0 else _BACKWARD)[axis]
        for axis in order
        if abs(direction[axis]) >= _WORTH_SAYING
    )


def _reference(header: Dataset, plane: StoredPlane) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    if plane.frame is not None and int(header.get("NumberOfFrames") or 1) > 1:
        item.ReferencedFrameNumber = plane.frame
    return item


def _words(reading: Reading, author: Author, plane: int, planes: int) -> list[str]:
    score = f"score {significant(reading.score)}"
    if reading.p_value is not None:
        score += f"   p = {significant(reading.p_value)}"
    where = f"   plane {plane + 1} of {planes}" if planes > 1 else ""
    model = unicodedata.normalize("NFKD", author.model).encode("ascii", "ignore").decode()  # as the font has
    return [score + where, f"flagged: {judgement(reading).partition(':')[0]}", model, RESEARCH_USE]


def _sized(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """The picture between `SMALLEST` and `LARGEST`, and how much wider its pixels have become: a small one
    in whole steps, so that each pixel stays a square."""
    longest = max(picture.shape[:2])
    if longest < SMALLEST:
        factor = -(-SMALLEST // longest)
        return picture.repeat(factor, 0).repeat(factor, 1), 1 / factor
    if longest <= LARGEST:
        return picture, 1.0
    factor = longest / LARGEST
    rows, columns = (max(1, round(side / factor)) for side in picture.shape[:2])
    smaller = Picture.fromarray(picture).resize((columns, rows), Picture.Resampling.BOX)
    return np.asarray(smaller, np.uint8), factor


def with_legend(
    picture: NDArray[np.uint8], scale: tuple[float, float], lines: list[str]
) -> NDArray[np.uint8]:
    """The picture `[rows, columns, 3]` with the colours of the map and some lines of text below it, so that
    nothing of the image is hidden; a narrow picture is widened with black."""
    font = ImageFont.load_default(size=11)
    ends = [significant(value) for value in scale]
    height = _LINE * (len(lines) + 1) + 2 * _MARGIN
    width = max(picture.shape[1], 2 * _MARGIN + int(max(font.getlength(line) for line in lines)) + 1)
    below = Picture.new("RGB", (width, height))
    pen = ImageDraw.Draw(below)
    pen.text((_MARGIN, _MARGIN), ends[0], "white", font)
    left = _MARGIN * 2 + int(font.getlength(ends[0]))
    right = min(width - 2 * _MARGIN - int(font.getlength(ends[1])), left + 160)
    bar = COLOURS[np.linspace(0, len(COLOURS) - 1, max(1, right - left)).astype(int)]
    bar_rows = np.broadcast_to(bar.round().astype(np.uint8), (_LINE - 5, *bar.shape))
    below.paste(Picture.fromarray(np.ascontiguousarray(bar_rows)), (left, _MARGIN + 2))
    pen.text((right + _MARGIN, _MARGIN), ends[1], "white", font)
    for number, line in enumerate(lines, start=1):
        pen.text((_MARGIN, _MARGIN + number * _LINE), line, "white", font)
    above = np.zeros((picture.shape[0], width, 3), np.uint8)
    above[:, : picture.shape[1]] = picture
    return np.concatenate([above, np.asarray(below, np.uint8)])
