"""Which reading is a row's, and whether it is of the same image."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondread.errors import UserError
from secondread.images.several_files import absolute, under
from secondread.packed import Packed
from secondread.readings.joining.same_file import Known, compare_all
from secondread.readings.readings import Readings
from secondread.readings.streamed.packed_readings import PackedReadings
from secondread.texts import Places
from secondread.wording.lists import few

if TYPE_CHECKING:
    from secondread.cohorts.manifest import Manifest


class Finding:
    """The number of a row's reading: by the file that both name, else by the same path; -1 = none.

    by_file  whether a row was found to name the file of a reading, of each reading
    """

    def __init__(self, readings: Readings, read: PackedReadings, manifest: Manifest) -> None:
        self._readings, self._manifest = readings, manifest
        self._paths = read.paths
        self._by_path = Places(self._paths)
        self._by_reference = Places(map(readings.reference_of, self._paths))
        self.by_file = np.zeros(len(read), bool)

    def __call__(self, path: str) -> int:
        reference = absolute(under(self._manifest.base, path))
        for at in reversed(self._by_reference.of(reference)):
            if self._readings.reference_of(self._paths[at]) == reference:
                self.by_file[at] = True
                return at
        found = self._by_path.first(path, self._paths)
        return -1 if found is None else found


class Joined(Packed[Known]):
    """Rows joined with readings; as a sequence, what is known of those that may be of another image now.

    numbers    of each row's reading; -1 = none
    same_file  of those that are looked at, whether row and reading name the same file. Then the file may have
               changed since; a reading that kept no fingerprint is believed
    """

    def __init__(
        self, readings: Readings, read: PackedReadings, manifest: Manifest, paths: Sequence[str]
    ) -> None:
        self.readings, self.manifest = readings, manifest
        self._read, self._paths = read, paths
        self.numbers, self._looked_at, self.same_file = array("q"), array("Q"), bytearray()
        self._of_those = array("Q")

    def add(self, at: int, number: int, by_file: NDArray[np.bool_]) -> None:
        """The row at a place of the manifest, and the number of its reading."""
        self.numbers.append(number)
        if number < 0 or not self._read.text("digest")[number]:
            return
        same_file = bool(by_file[number])
        if not same_file or self._read.paths[number] in self.readings.fingerprints:
            self._looked_at.append(at)
            self._of_those.append(number)
            self.same_file.append(same_file)

    def path(self, at: int) -> str:
        """As the manifest names it."""
        return self._paths[self._looked_at[at]]

    def __len__(self) -> int:
        return len(self._looked_at)

    def made(self, at: int) -> Known:
        number = self._of_those[at]
        kept = self.readings.fingerprints.get(self._read.paths[number], "")
        return Known(under(self.manifest.base, self.path(at)), self._read.text("digest")[number], kept)


def refuse_other_images(joined: Joined, *, workers: int) -> None:
    """Raises UserError where a reading is of another image than the row that it was joined with.

    Of a row that does not name the reading's file only the content can tell, and where no file is there to
    look at, the manifest must be the very one that was scored.
    """
    readings, manifest = joined.readings, joined.manifest
    verdicts = compare_all(joined, workers=workers)
    others = [joined.path(at) for at, verdict in enumerate(verdicts) if verdict == "other"]
    if others:
        of_all = sum(number >= 0 for number in joined.numbers)
        raise UserError(
            f"{len(others)} of {of_all} test images are not those that were read: {few(others)}; they "
            f"have changed since, or {readings.directory} holds readings of other images: score these first"
        )
    elsewhere = [
        verdict for verdict, same_file in zip(verdicts, joined.same_file, strict=True) if not same_file
    ]
    scored = readings.run.digests.manifest
    if elsewhere and "same" not in elsewhere and scored != manifest.digest:
        raise UserError(
            f"{readings.directory}: its readings are of images below {readings.base or 'another folder'}, "
            f"and none lies where {manifest.source or 'the manifest'} names the same paths, so nothing shows "
            "that they are the same; evaluate with the manifest that was scored"
        )
