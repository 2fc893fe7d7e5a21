"""An image of a study, read from the spool as it was scored, and its map beside it."""

from __future__ import annotations

import re
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from secondread.errors import DataError
from secondread.images.image import Image, ImageError
from secondread.images.limits import ReadLimits
from secondread.images.read import read_image
from secondread.images.write import map_on
from secondread.readings.score_record import ScoreRecord
from secondread.service.spool.files import Spool
from secondread.service.store.tables import Instance, Reading

KEPT_BYTES = 512 << 20
LIMITS = ReadLimits()
READ = re.compile(r"([0-9]{1,12})-([0-9]{1,6})")
UNREAD = re.compile(r"i([0-9]{1,12})")
GONE = "the image is not in the spool any more; send the study again"


@dataclass(frozen=True)
class Place:
    """Where an image lies: its files, in the spool, and what within them (`#frame/3`, or a series' key).

    map      the map's file, or None; `record` the run's, which says on which scale maps are
    bundle   that read it, by name and digest; empty where none did
    """

    study: int
    files: tuple[Path, ...]
    member: str = ""
    map: Path | None = None
    record: Path | None = None
    bundle: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Opened:
    """map      on the image's own array `[*spatial]`, or None
    scale    of the map: values that are shown as nothing and as full heat
    """

    image: Image
    map: NDArray[np.float32] | None
    scale: tuple[float, float]

    @property
    def bytes(self) -> int:
        return int(self.image.pixels.nbytes) + (0 if self.map is None else int(self.map.nbytes))


def find_place(session: Session, spool: Spool, study: int, key: str) -> Place | None:
    """None where the study has no such image."""
    if found := READ.fullmatch(key):
        reading = session.get(Reading, int(found[1]))
        number = int(found[2])
        if reading is None or reading.study_id != study or number >= len(reading.images):
            return None
        said = reading.images[number]
        wanted = select(Instance).where(Instance.study_id == study)
        if said.get("instances", 1) > 1:
            wanted = wanted.where(
                Instance.series_uid == said["series"], Instance.revision <= reading.revision
            )
        else:
            wanted = wanted.where(Instance.sop_instance_uid == said["instance"])
        folder = spool.path_of(reading.folder)
        heat = folder / said["map"] if said.get("map") else None
        if heat is not None and not heat.resolve().is_relative_to(folder.resolve()):
            raise DataError("the database names a map outside of its reading")
        member = str(said.get("path", "")).partition("#")[2]
        rows = session.scalars(wanted.order_by(Instance.sop_instance_uid)).all()
        return Place(
            study, tuple(spool.path_of(row.path) for row in rows), member, heat, folder / "run.json",
            reading.bundle, reading.bundle_digest,
        )  # fmt: skip
    if found := UNREAD.fullmatch(key):
        row = session.get(Instance, int(found[1]))
        if row is None or row.study_id != study:
            return None
        series = select(Instance).where(Instance.study_id == study, Instance.series_uid == row.series_uid)
        rows = session.scalars(series.order_by(Instance.sop_instance_uid)).all()
        return Place(study, tuple(spool.path_of(one.path) for one in rows))
    return None


class Images:
    """Images that were opened last stay in memory, so that pixels, map and slices are read once."""

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self._kept: OrderedDict[Place, Opened] = OrderedDict()
        self._most = most
        self._lock = Lock()

    def open(self, place: Place) -> Opened:
        """Raises DataError where it cannot be shown, with the reason, which names no file."""
        with self._lock:
            if (found := self._kept.get(place)) is not None:
                self._kept.move_to_end(place)
                return found
        made = _open(place)
        with self._lock:
            self._kept[place] = made
            while len(self._kept) > 1 and sum(one.bytes for one in self._kept.values()) > self._most:
                self._kept.popitem(last=False)
        return made

    def forget(self, study: int) -> None:
        with self._lock:
            for place in [one for one in self._kept if one.study == study]:
                del self._kept[place]


def _open(place: Place) -> Opened:
    if not place.files:
        raise DataError(GONE)
    try:
        image = _read(place)
        if place.map is None:
            return Opened(image, None, (0.0, 1.0))
        heat = read_image(place.map)
    except ImageError as error:
        raise DataError(f"the image cannot be shown: {error.problem}") from None
    except FileNotFoundError:
        raise DataError(GONE) from None
    values = map_on(heat, image)
    scale = None if place.record is None else ScoreRecord.read(place.record).map_scale
    return Opened(image, values, scale or (float(heat.pixels.min()), float(heat.pixels.max())))


def _read(place: Place) -> Image:
    member = f"#{place.member}" if place.member else ""
    if len(place.files) == 1:
        return read_image(f"{place.files[0]}{member}", limits=LIMITS)
    with tempfile.TemporaryDirectory(prefix="secondread-") as folder:
        for number, file in enumerate(place.files):
            (Path(folder) / f"{number:05}.dcm").symlink_to(file)
        try:
            return read_image(f"{folder}{member}", limits=LIMITS)
        except ImageError:
            if place.member:
                raise
        return read_image(place.files[0], limits=LIMITS)  # films of one series are no volume
