"""The cache of prepared images on disk, so that an image is decoded once.

    entries/<preprocessing digest>/<first 2>/<content key>   prepared images, one file each (see entry.py)
    targets/<preprocessing digest>/<first 2>/<mask key>      prepared masks, one file each
    features/<key>/<first 2>/<hash of pixels>[.half]         what an encoder said of an image, kept by fits
    seen/<first 2>/<reference key>                           what a reference held at its last decoding
    writing/                                                 what is being written, see `whole`
    size, written                                            how much there is, see growth.py

An entry is found by the content's digest and the fitted preprocessing's digest. The content's digest is found
without reading the file again while size and time of change (nanoseconds) are those of the last decoding, as
git does with its index. References are hashed, so file names do not say whose images these are. Writers need
no lock: every file appears whole by a rename, and two writers of one entry write the same. What a killed one
left half written is removed when the cache is opened again. All of it is for its owner alone.

Nothing is believed that is not as it was written: entries carry a checksum and their own name (see entry.py),
notes a hash over their reference, their fingerprint and the content's key, masks a hash over their name and
their bytes. What does not fit is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from secondread.errors import UserError
from secondread.images.formats.data_beside import named_beside
from secondread.images.image import ImageError
from secondread.images.several_files import SEPARATOR, files_of
from secondread.outputs.whole import remove_unheld, whole_file, write_whole
from secondread.preprocessing.cache.entry import made_by, read_entry, write_entry
from secondread.preprocessing.cache.growth import Growth
from secondread.preprocessing.prepared import Prepared
from secondread.preprocessing.target import Target

MARK = "secondread-cache"
FILLED = 0.9
"""Of its limit, to which a cache that is above it is brought."""
NOTE_BYTES = 200
"""About what a note takes."""
STALE_SECONDS = 3600.0
"""Temporary files of former versions that are older than this belong to a writer that was killed."""


class Cache:
    """Prepared images in `directory`, which is made where it is missing.

    limit_bytes  `trim` deletes the entries that were not used for longest above this size; None = no limit
    growth       how much there is at most

    Raises UserError where the directory cannot be used, or holds other files.
    """

    def __init__(self, directory: str | Path, limit_bytes: int | None = None) -> None:
        self.directory = Path(directory).expanduser().absolute()
        self.limit_bytes = limit_bytes
        self.growth = Growth(self.directory)
        mark = self.directory / MARK
        try:
            if not mark.is_file():
                there = list(self.directory.iterdir()) if self.directory.is_dir() else []
                if any(not path.name.startswith(".") for path in there) and not mark.is_file():
                    raise UserError(
                        f"{self.directory}: is no cache and not empty; name an empty or a new folder"
                    )
                write_whole(mark, b"prepared images of secondread; may be deleted at any time\n")
        except OSError as error:
            raise UserError(
                f"{self.directory}: the cache cannot be used ({error.strerror}); name a writable folder"
            ) from error
        with contextlib.suppress(OSError):
            for path in self._under_way.iterdir():
                remove_unheld(path)

    @property
    def _under_way(self) -> Path:
        return self.directory / "writing"

    def find(self, reference: str, preprocessing_digest: str) -> Prepared | None:
        """The prepared image of a file that has not changed since it was decoded; None = prepare it.

        Its arrays are memory-mapped and read-only.
        """
        content = self._content_of(reference)
        if content is None:
            return None
        path = self._entry_path(content, preprocessing_digest)
        prepared = read_entry(path)
        if prepared is not None:
            with contextlib.suppress(OSError):
                os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        return prepared

    def store(
        self, reference: str, preprocessing_digest: str, prepared: Prepared, fingerprint: str | None
    ) -> None:
        """Keep a prepared image. `fingerprint` is that of the file *before* it was read: where the file has
        changed in the meantime, the reference is not noted. Raises OSError where the disk refuses."""
        content = _hashed(f"{prepared.digest} {_member(reference)}")
        path = self._entry_path(content, preprocessing_digest)
        write_entry(path, prepared, within=self._under_way)
        self.growth.add(path.stat().st_size)
        if fingerprint is not None and fingerprint == fingerprint_of(reference):
            path = self._note_path(reference)
            note = {
                "fingerprint": fingerprint,
                "content": content,
                "check": _check(path, fingerprint, content),
            }
            with whole_file(path, synced=False, within=self._under_way) as file:
                file.write(json.dumps(note).encode())
            self.growth.add(NOTE_BYTES)

    def target_key(self, digest: str, mask: str) -> str | None:
        """Names the prepared mask of the image with this digest, as long as the mask's file does not change;
        None where the file cannot be looked at."""
        fingerprint = fingerprint_of(mask)
        return None if fingerprint is None else _hashed(f"{digest} {os.path.abspath(mask)} {fingerprint}")

    def find_target(self, preprocessing_digest: str, key: str) -> Target | None:
        """The prepared mask under this key; None = prepare it."""
        path = self._target_path(preprocessing_digest, key)
        try:
            check, digest, data = path.read_bytes().split(b" ", 2)
        except (OSError, ValueError):
            return None
        if check.decode("ascii", "replace") != _target_check(path, digest, data):
            return None
        with contextlib.suppress(OSError):
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        return Target(data, digest.decode("ascii"))

    def store_target(self, preprocessing_digest: str, key: str, target: Target) -> None:
        """Raises OSError where the disk refuses."""
        path = self._target_path(preprocessing_digest, key)
        digest, data = target.digest.encode("ascii"), target.compressed
        with whole_file(path, synced=False, within=self._under_way) as file:
            file.write(b" ".join([_target_check(path, digest, data).encode(), digest, data]))
        self.growth.add(path.stat().st_size)

    def _target_path(self, preprocessing_digest: str, key: str) -> Path:
        return self.directory / "targets" / preprocessing_digest / key[:2] / key

    def size(self) -> int:
        """Bytes of all files in the cache."""
        return sum(state.st_size for _, state in self._files())

    def clear(self) -> None:
        """Delete all entries. Arrays that are in use stay valid until they are let go."""
        for name in ("entries", "targets", "features", "seen"):
            shutil.rmtree(self.directory / name, ignore_errors=True)

    def trim(self, keep: Collection[Path] = ()) -> None:
        """Above the limit, delete what was not used for longest, and a little more, so that the next call has
        nothing to do. Files are looked at where the cache may be above its limit, and once in its life, when
        leftovers of former versions go too."""
        at_most = self.growth.at_most()
        if at_most is not None and (self.limit_bytes is None or at_most <= self.limit_bytes):
            return
        self.growth.begin_count()
        self.growth.end_count(self._trimmed(set(keep)))

    def _trimmed(self, kept: set[Path]) -> int:
        """Bytes that stay."""
        files = list(self._files())
        now = time.time()
        for path, state in files:
            if path.name.endswith(".tmp") and now - state.st_mtime > STALE_SECONDS:
                path.unlink(missing_ok=True)
        total = sum(state.st_size for _, state in files)
        if self.limit_bytes is None or total <= self.limit_bytes:
            return total
        aim = int(FILLED * self.limit_bytes)
        below = tuple(self.directory / name for name in ("entries", "targets", "features"))
        for path, state in sorted(files, key=lambda found: found[1].st_atime_ns):
            if total <= aim:
                break
            prepared = any(folder in path.parents for folder in below)
            if prepared and path not in kept and not path.name.endswith(".tmp"):
                path.unlink(missing_ok=True)
                total -= state.st_size
        return total

    def entry_path(self, reference: str, preprocessing_digest: str) -> Path | None:
        """Where the entry of this reference lies, as far as the reference has been seen."""
        content = self._content_of(reference)
        return None if content is None else self._entry_path(content, preprocessing_digest)

    def _content_of(self, reference: str) -> str | None:
        path = self._note_path(reference)
        try:
            note = json.loads(path.read_bytes())
            fingerprint, content = str(note["fingerprint"]), str(note["content"])
            if note["check"] != _check(path, fingerprint, content):
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return content if fingerprint == fingerprint_of(reference) else None

    def _entry_path(self, content: str, preprocessing_digest: str) -> Path:
        return self.directory / "entries" / preprocessing_digest / content[:2] / content

    def _note_path(self, reference: str) -> Path:
        key = _hashed(os.path.abspath(reference))
        return self.directory / "seen" / key[:2] / key

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for folder, _, names in os.walk(self.directory):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(OSError):
                    yield path, path.stat()


def fingerprint_of(reference: str) -> str | None:
    """Size and times of change of the file behind a reference (and of the file beside it that holds its
    voxels; of every file in a series' folder and below it, of each of several files); None where it cannot
    be looked at."""
    files = files_of(reference)
    if len(files) > 1:
        each = [fingerprint_of(file) for file in files]
        return None if None in each else _hashed("\n".join(map(str, each)))
    path = Path(reference)
    try:
        try:
            state = path.stat()
        except (OSError, ValueError):
            whole = reference.rpartition("#")[0]
            if not whole:  # a path of nothing would be the folder in which the command runs
                return None
            path = Path(whole)
            state = path.stat()
        if not stat.S_ISDIR(state.st_mode):
            beside = named_beside(path, state.st_size)
            return _said(state) + ("" if beside is None else f" {_said(beside.stat())}")
        from secondread.images.dicom.series import files_below

        parts = [f"{found.relative_to(path)} {_said(found.stat())}" for found in files_below(path)]
        return _hashed("\n".join(parts))
    except (OSError, ValueError, ImageError):
        return None


def _said(state: os.stat_result) -> str:
    return f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}"


def _member(reference: str) -> str:
    """What follows `#` in a reference to a part of a file; parts of one file share its digest."""
    files = files_of(reference)
    if len(files) > 1:
        return SEPARATOR.join(map(_member, files))
    return "" if Path(reference).exists() else reference.rpartition("#")[2]


def _check(note: Path, fingerprint: str, content: str) -> str:
    """What a note of this name must carry; the name is the hash of its reference."""
    return _hashed(f"{note.name} {fingerprint} {content}")


def _target_check(path: Path, digest: bytes, data: bytes) -> str:
    """What a prepared mask of this name must carry; it says too who read it."""
    whole = f"{path.parent.parent.name}/{path.name} {made_by()} ".encode() + digest + b" " + data
    return hashlib.blake2b(whole, digest_size=20).hexdigest()


def _hashed(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=20).hexdigest()
