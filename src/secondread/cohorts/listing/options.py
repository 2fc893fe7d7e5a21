"""What a person may ask of `index`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secondread.cohorts.listing.given.labels import GivenLabels
from secondread.images.formats.nifti_slices import Plane


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """See `index.index`, which has all of them; and how headers are read.

    resumable   headers that were read are kept beside the manifest until that is written
    ray         address of a Ray cluster that reads headers, or `local`; none = workers of this process
    """

    manifest_path: str | Path | None = None
    as_images: bool = False
    keep_ids: bool = False
    keep_derived: bool = False
    key: str | Path | None = None
    normal_class: int = 0
    split_file: str | Path | None = None
    channels: Sequence[str] = ()
    every: int = 1
    labels: GivenLabels | None = None
    patient: str = ""
    masks: Sequence[str] = ()
    volume_parts: str = ""
    plane: Plane = "axial"
    slices: str | None = None
    folders_as_sequences: bool = False
    clips_whole: bool = False
    workers: int = 2
    resumable: bool = False
    ray: str | None = None
