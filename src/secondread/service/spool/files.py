"""Files of instances and readings on disk: there before their row is, and only theirs.

    incoming/    what is being written
    instances/   STUDY[:2]/STUDY/SERIES/INSTANCE-TOKEN.dcm, each name a hash of its UID
    readings/    STUDY[:2]/STUDY/TOKEN/

Each file and each folder of a reading has a name of its own, so that two who write the same instance never
write over one another: the row says which counts. Whoever writes one holds its lock until his row is
committed; what nobody holds and no row names is a leftover, which `sweep` removes at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from secondread.errors import DataError, UserError
from secondread.outputs.lock import hold
from secondread.outputs.private import FILE, FOLDER, make_folder
from secondread.outputs.whole import sync
from secondread.service.spool.incoming import Incoming

BLOCK = 1 << 20
_NAME = re.compile(r"(instances|readings)(/[0-9a-f]+)+(-[0-9a-f]+\.dcm)?")
_REMEMBERED = 4096


class TooLarge(Exception):
    """An instance is larger than the service takes."""


@dataclass(frozen=True)
class Kept:
    """A file in the spool. `path` is below the spool, with `/`; `digest` its SHA-256; `size` in bytes."""

    path: str
    size: int
    digest: str


class Spool:
    """A folder for instances and readings, which its owner alone can look into."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.incoming, self.instances, self.readings = (
            self.folder / name for name in ("incoming", "instances", "readings")
        )
        self._durable: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._lock = Lock()
        try:
            for place in (self.incoming, self.instances, self.readings):
                make_folder(place)
                place.chmod(FOLDER)
        except OSError as error:
            raise UserError(
                f"{self.folder}: the spool cannot be written ({error.strerror}); choose another folder, or "
                "give it to the service's user"
            ) from error

    @contextmanager
    def keep(
        self,
        study_uid: str,
        series_uid: str,
        instance_uid: str,
        source: bytes | BinaryIO | Incoming,
        *,
        largest: int,
    ) -> Iterator[Kept]:
        """Write an instance, from its bytes or what is left to read, or take one that was written as it came;
        the block commits its row.

        Within the block the file is on the disk for good, under its name. It is removed where the block
        ends with `Unwanted`, and stays after another exception, since nobody knows then whether the row was
        committed: `sweep` looks. Raises TooLarge beyond `largest` bytes, and OSError.
        """
        place = self.instances.joinpath(*_places(study_uid), _hashed(series_uid, 8))
        name = f"{_hashed(instance_uid, 16)}-{secrets.token_hex(4)}.dcm"
        incoming = source if isinstance(source, Incoming) else self.begin()
        try:
            for block in () if isinstance(source, Incoming) else _blocks(source):
                incoming.write(block)
                _check(incoming, largest)
            _check(incoming, largest)
            self._rename(incoming.path, place / name)
            try:  # after it has its name: the disk makes both durable at once
                os.fsync(incoming.descriptor)
                self._sync_down_to(place)
                sync(place)
            except BaseException:
                (place / name).unlink(missing_ok=True)
                raise
            kept = Kept((place / name).relative_to(self.folder).as_posix(), incoming.size, incoming.digest)
            try:
                yield kept
            except Unwanted:
                self.remove(kept.path)
        finally:
            incoming.discard()

    @contextmanager
    def new_reading(self, study_uid: str) -> Iterator[Path]:
        """A new folder for a reading of a study; the block fills it, calls `sync_reading`, and commits the
        row, which names it by `name_of`. Left to `sweep` where the row did not come to be."""
        while True:
            folder = self.readings.joinpath(*_places(study_uid), secrets.token_hex(8))
            make_folder(folder.parent)
            with contextlib.suppress(FileNotFoundError):  # its emptied parent was just taken away
                folder.mkdir(FOLDER)
                descriptor = os.open(folder, os.O_RDONLY)
                with contextlib.suppress(BlockingIOError):  # whoever sweeps was quicker
                    if hold(folder, descriptor):
                        break
                os.close(descriptor)
        try:
            yield folder
        finally:
            os.close(descriptor)

    def sync_reading(self, folder: Path) -> None:
        """Everything in the folder, and the way to it, is on the disk from now on."""
        for path in folder.rglob("*"):
            sync(path)
        self._sync_down_to(folder)
        sync(folder)

    def name_of(self, path: Path) -> str:
        """What a row says of a file or folder of the spool."""
        return path.relative_to(self.folder).as_posix()

    def path_of(self, name: str) -> Path:
        """Where a file or folder that a row names lies. Raises DataError where the name leads elsewhere."""
        path = self.folder / name
        if not _NAME.match(name) or ".." in path.parts:
            raise DataError(f"{self.folder}: the database names a file outside of the spool's instances")
        return path

    def has(self, name: str) -> bool:
        """Whether the file that a row names is there."""
        return bool(name) and self.path_of(name).is_file()

    def remove(self, name: str) -> None:
        """Remove a file or a reading's folder, and the folders above that it leaves empty. What is gone
        already is no error."""
        path = self.path_of(name)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        for above in path.parents:
            if above in (self.instances, self.readings, self.folder):
                break
            try:
                above.rmdir()
            except OSError:
                break

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free

    def begin(self) -> Incoming:
        """A new locked file among the incoming ones. Raises OSError."""
        while True:
            path = self.incoming / secrets.token_hex(16)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE)
            with contextlib.suppress(BlockingIOError):  # whoever sweeps was quicker
                if hold(path, descriptor):
                    return Incoming(path, descriptor)
            os.close(descriptor)

    def _rename(self, temporary: Path, path: Path) -> None:
        while True:
            self._make(path.parent)
            try:
                temporary.rename(path)
            except FileNotFoundError:  # an emptied folder was just taken away
                continue
            return

    def _make(self, folder: Path) -> None:
        """A folder that had to be made is not on the disk yet, whatever had its number before."""
        missing = [one for one in (folder, *folder.parents) if not one.is_dir()]
        make_folder(folder)
        for one in missing:
            status = one.stat()
            with self._lock:
                self._durable.pop((status.st_dev, status.st_ino), None)

    def _sync_down_to(self, folder: Path) -> None:
        """The folder has its entry on the disk, and so have those above it; asked of the disk once each."""
        new: list[tuple[Path, tuple[int, int]]] = []
        for one in (folder, *folder.parents):
            if one == self.folder:
                break
            status = one.stat()
            made = (status.st_dev, status.st_ino)
            with self._lock:
                if made in self._durable:
                    self._durable.move_to_end(made)
                    break
            new.append((one, made))
        for one, _ in new:
            sync(one.parent)
        with self._lock:
            for _, made in reversed(new):
                self._durable[made] = None
            while len(self._durable) > _REMEMBERED:
                self._durable.popitem(last=False)


class Unwanted(Exception):
    """Raised in a block of `keep`: no row was committed and none will be; the file goes."""


def _hashed(uid: str, size: int) -> str:
    return hashlib.blake2b(uid.encode(), digest_size=size).hexdigest()


def _places(study_uid: str) -> tuple[str, str]:
    hashed = _hashed(study_uid, 16)
    return hashed[:2], hashed


def _check(incoming: Incoming, largest: int) -> None:
    if incoming.size > largest:
        raise TooLarge(f"an instance of more than {largest} bytes")


def _blocks(source: bytes | BinaryIO) -> Iterator[memoryview]:
    if isinstance(source, bytes):
        yield memoryview(source)
        return
    while block := source.read(BLOCK):
        yield memoryview(block)
