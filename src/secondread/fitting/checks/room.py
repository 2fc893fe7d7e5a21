"""Whether the disks have room for what a fit writes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.fitting.checks.problem import Problem
from secondread.outputs.folders import refuse_no_folder
from secondread.preprocessing.cache.cache import MARK, Cache
from secondread.preprocessing.cache.limit import cache_limit
from secondread.preprocessing.cache.place import default_cache_directory
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings
from secondread.wording.sizes import in_words

if TYPE_CHECKING:
    from secondread.detectors.contract import Detector

LEAST_BYTES = 50 << 20
"""What a bundle and its checkpoints are taken to need where nothing else is known."""


def cache_folder(given: str | Path | Cache | None) -> Path:
    """Where prepared images are, or would be; nothing is made."""
    if isinstance(given, Cache):
        return given.directory
    return Path(given or default_cache_directory()).expanduser().absolute()


def refuse_no_cache(folder: Path) -> None:
    """UserError for a limit that is no size, and where the cache cannot be, or other files lie."""
    cache_limit()
    if (folder / MARK).is_file():
        Cache(folder)
    elif folder.exists() and (not folder.is_dir() or any(file.name[0] != "." for file in folder.iterdir())):
        raise UserError(f"{folder}: is no cache and not empty; name an empty or a new folder with --cache")
    else:
        try:
            refuse_no_folder(folder)
        except UserError as error:
            raise UserError(f"the cache {error}".replace("-o", "--cache")) from None


def bytes_of_images(settings: PreprocessingSettings, count: int) -> int:
    """What so many prepared images take in the cache."""
    return count * (4 * settings.channels + 1) * prod(settings.size)


def no_room_for_images(
    settings: PreprocessingSettings, manifest: Manifest, rows: Sequence[Row], folder: Path
) -> list[Problem]:
    """The prepared images beside what is free in the cache's folder, less those that are there already."""
    free = free_bytes(folder)
    if bytes_of_images(settings, len(rows)) <= free:
        return []
    digest = Preprocessing(settings).unaligned.digest if settings.align else Preprocessing(settings).digest
    new = len(rows)
    if (folder / MARK).is_file():
        cache = Cache(folder)
        new = sum(cache.find(manifest.reference(row), digest) is None for row in rows)
    needed = bytes_of_images(settings, new)
    if needed <= free:
        return []
    return [
        Problem(
            f"{folder}: {new:,} prepared images take {in_words(needed)}, and {in_words(free)} are "
            "free; free some space, give another folder with --cache, or a smaller preprocessing.size"
        )
    ]


def no_room_for_output(out: Path, needed: int = LEAST_BYTES) -> list[Problem]:
    """The bundle and its checkpoints beside what is free at `out`."""
    free = free_bytes(out)
    if needed <= free:
        return []
    return [
        Problem(
            f"{out}: the fit writes some {in_words(needed)} there, and {in_words(free)} are free; free some "
            "space, or choose another place with -o"
        )
    ]


def bytes_of_fit(detector: Detector) -> int:
    """The detector's state, and that of the two newest checkpoints with their optimisers' moments."""
    state = sum(value.numel() * value.element_size() for value in detector.state_dict().values())
    trained = sum(p.numel() * p.element_size() for p in detector.parameters() if p.requires_grad)
    return LEAST_BYTES + 4 * state + 4 * trained


def free_bytes(path: Path) -> int:
    """Free on the disk where `path` is, or would be."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
