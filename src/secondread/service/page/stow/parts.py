"""The parts of a `multipart/related` body, each into a file of its own as it comes.

A body of any size passes: what is in memory is a block, and a part that is larger than it may be is read on
and thrown away, so that those after it are still taken.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from secondread.outputs.whole import NO_ROOM

MOST_PARTS = 10_000
IN_MEMORY = 1 << 20
DICOM = "application/dicom"


class Malformed(Exception):
    """The body is no multipart body, or has more parts than are taken."""


class Part:
    """A part that has come whole. `trouble` says why its content was thrown away, with its status."""

    def __init__(self, folder: Path) -> None:
        self.kind = ""
        self.size = 0
        self.trouble: tuple[int, str] | None = None
        # Closed by whoever takes the part.
        made = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(folder))  # noqa: SIM115
        self.file = cast(BinaryIO, made)

    def close(self) -> None:
        self.file.close()


class Parts:
    """Feed it the body: each part that is whole is handed to `take`, and closed after it.

    folder    where a file lies that is too large for memory; it has no name there
    largest   bytes of a part
    statuses  of a part for which there is no room, and of one that is no DICOM
    """

    def __init__(
        self,
        boundary: bytes,
        folder: Path,
        *,
        largest: int,
        statuses: tuple[int, int],
        take: Callable[[Part], None],
    ) -> None:
        self._folder, self._largest, self._take = folder, largest, take
        self._no_room, self._no_dicom = statuses
        self._part: Part | None = None
        self._name = self._value = b""
        self.count, self.ended = 0, False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_end": self._whole,
            },
        )

    def feed(self, block: bytes) -> None:
        """Raises Malformed."""
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise Malformed("the body is no multipart/related of this boundary") from error

    def close(self) -> None:
        if self._part is not None:
            self._part.close()
            self._part = None

    def _begin(self) -> None:
        self.count += 1
        if self.count > MOST_PARTS:
            raise Malformed(f"more than {MOST_PARTS} parts; send them in several requests")
        self._part = Part(self._folder)

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._part is not None and self._name.lower() == b"content-type":
            self._part.kind = self._value.partition(b";")[0].strip().decode("latin-1").lower()
            if self._part.kind != DICOM:
                self._part.trouble = self._no_dicom, "the part is not application/dicom"
        self._name = self._value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part is None:
            return
        part.size += end - start
        if part.size > self._largest and part.trouble is None:
            part.trouble = self._no_room, "the part is larger than an instance may be"
        if part.trouble is not None:
            part.close()
            return
        try:
            part.file.write(memoryview(data)[start:end])
        except OSError as error:
            reason = "the disk is full" if error.errno in NO_ROOM else "the spool cannot be written"
            part.trouble = self._no_room, reason

    def _end(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        try:
            if not part.kind and part.trouble is None:
                part.trouble = self._no_dicom, "the part does not say that it is application/dicom"
            if part.trouble is None:
                part.file.seek(0)
            self._take(part)
        finally:
            part.close()

    def _whole(self) -> None:
        self.ended = True
