"""What a file says of itself, without its pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

GRID_KINDS = ("nrrd", "metaimage", "mgh")
"""Kinds that `formats.grids` reads."""
VOLUME_KINDS = ("nifti", *GRID_KINDS)
"""Kinds of files that hold a volume, whose slices a reference may name."""


@dataclass(frozen=True)
class Header:
    """A file's header. Ids and names are as in the file: only what indexes sees them, and hashes them.

    kind         "dicom", "nifti" (and Analyze), "nrrd", "metaimage", "mgh", "png", "jpeg", "tiff", "bmp",
                 "pnm", "gif", "webp", "npy" or "npz"
    size         rows and columns, or slices, rows and columns; () where the file holds no image by itself
                 (npz)
    rank         2 or 3 as `read_image` would give it; 0 where the file holds no image
    position, orientation   DICOM's LPS numbers as in the file, () where missing
    spacing      millimetres along each axis of `size`, () where not said
    pixel_spacing   DICOM's PixelSpacing (rows, columns) in the patient, () where missing
    frame_times  seconds from the first frame to each, () where not said
    names        parts of the patient's name and id that must not stand in a path
    series       what the files of one DICOM series share (`dicom_series.series_name`)
    identity     whose image it is (`dicom_series.identity_of`)
    no_volume    why a DICOM file of several frames makes no volume, or is no picture; empty where it does
    remarks      what a person should be told of the volume in a file of several frames
    data_file    where the voxels lie that are not in the file, relative to its folder
    """

    path: str
    kind: str
    size: tuple[int, ...] = ()
    rank: int = 0
    channels: int = 1
    modality: str = ""
    patient_id: str = ""
    study_uid: str = ""
    series_uid: str = ""
    accession: str = field(default="", repr=False)
    series: str = field(default="", repr=False)
    identity: tuple[str, ...] = field(default=(), repr=False)
    sop_class: str = ""
    image_type: tuple[str, ...] = ()
    orientation: tuple[float, ...] = ()
    position: tuple[float, ...] = ()
    spacing: tuple[float, ...] = ()
    pixel_spacing: tuple[float, ...] = ()
    slice_thickness: float | None = None
    frames: int = 1
    frame_times: tuple[float, ...] = ()
    view: str = ""
    laterality: str = ""
    body_part: str = ""
    manufacturer: str = ""
    model: str = ""
    burned_in: str = ""
    has_pixels: bool = True
    no_volume: str = ""
    remarks: tuple[str, ...] = ()
    data_file: str = ""
    names: tuple[str, ...] = field(default=(), repr=False)

    @property
    def has_slices(self) -> bool:
        """Whether the file is a volume, of which `index` and `score` can list the slices."""
        return self.kind in VOLUME_KINDS and self.rank == 3
