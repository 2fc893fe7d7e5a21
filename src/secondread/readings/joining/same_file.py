"""Whether what lies at a reference is still the image that was read.

Size and times of change tell it at a glance where they are those of the reading; where they differ, or were
not kept, the content's digest decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.images.several_files import files_of
from secondread.images.source import Reference
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Done
from secondread.preprocessing.cache.cache import fingerprint_of

Verdict = Literal["same", "other", "gone", "unknown"]


@dataclass(frozen=True)
class Known:
    """What is known of an image that was read: where it lies, its digest, and the file's fingerprint then."""

    reference: str
    digest: str
    fingerprint: str = ""


@dataclass
class Files:
    """What files hold now; each is read once.

    A digest of a whole file is that of its image in all formats but npz and DICOM series, whose images have
    digests of their own, as have several files in one: of these `compare` says `unknown` where the
    fingerprint differs.
    """

    _digests: dict[Path, str] = field(default_factory=dict)

    def compare(self, known: Known, now: str | None = None) -> Verdict:
        """`gone`: nothing lies there, or it cannot be looked at. `now` is its fingerprint, where that is
        known, empty where nothing lies there."""
        if now is None:
            now = fingerprint_of(known.reference) or ""
        if not now:
            return "gone"
        if now == known.fingerprint:
            return "same"
        if len(files_of(known.reference)) > 1:
            return "unknown"
        try:
            found = Reference.parse(known.reference)
            if found.path.is_file() and self._digest(found.path) == known.digest:
                return "same"
        except (ImageError, OSError):
            return "gone"
        return "unknown" if found.member is not None or found.path.is_dir() else "other"

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            with path.open("rb") as file:
                self._digests[path] = hashlib.file_digest(
                    file, lambda: hashlib.blake2b(digest_size=20)
                ).hexdigest()
        return self._digests[path]


def compare_all(images: Sequence[Known], *, workers: int) -> list[Verdict]:
    """A verdict for each, never `unknown`: what cannot be told from a file's bytes is read again."""
    files = Files()
    found = [files.compare(known) for known in images]
    doubtful = [at for at, verdict in enumerate(found) if verdict == "unknown"]
    read = map_in_workers(
        image_digest, [images[at].reference for at in doubtful], workers=min(workers, len(doubtful))
    )
    for at, result in zip(doubtful, read, strict=True):
        same = isinstance(result, Done) and result.value == images[at].digest
        found[at] = "same" if same else "other"
    return found


def image_digest(reference: str) -> str:
    return read_image(reference).digest
