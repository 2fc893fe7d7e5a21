"""Rows and maps of readings are written in a thread of their own, while the next images are read."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Self

from secondread.bundles.fitted_model import FittedModel
from secondread.outputs.whole import NO_ROOM
from secondread.readings.maps import write_maps
from secondread.readings.pipeline import Result
from secondread.readings.reading import Reading
from secondread.readings.table_writer import ReadingsTable

WAITING = 64


class RowWriter:
    """Maps and rows are written in a thread of their own, while the next batch is computed."""

    def __init__(
        self,
        table: ReadingsTable,
        bundle: FittedModel,
        images: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.table = table
        self.scale = bundle.calibration.map_scale
        self.images = images
        self.progress = progress
        self.done = table.earlier
        self.error: BaseException | None = None
        self.waiting: queue.Queue[tuple[Result, str, str] | None] = queue.Queue(WAITING)
        self.thread = threading.Thread(target=self._run, name="secondread-write", daemon=True)

    def put(self, result: Result, patient: str, fingerprint: str) -> None:
        """A result, with what stands for its patient, and its file's fingerprint from before it was read."""
        if self.error is not None:
            raise self.error
        self.waiting.put((result, patient, fingerprint))

    def _run(self) -> None:
        while (given := self.waiting.get()) is not None:
            if self.error is None:
                try:
                    self._write(*given)
                except BaseException as error:
                    self.error = error

    def _write(self, result: Result, patient: str, fingerprint: str) -> None:
        reading = result.reading
        if result.map is not None and self.scale is not None:
            reading = self._with_map(result, self.scale)
        self.table.append(
            reading,
            result.acquisition,
            None if reading.error else result.thumbnail,
            patient=patient,
            fingerprint=fingerprint,
        )
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.images)

    def _with_map(self, result: Result, scale: tuple[float, float]) -> Reading:
        """The reading with its map; where the disk has room but not for this map, one with an error."""
        reading = result.reading
        try:
            return replace(reading, map=write_maps(self.table.folder, result, scale))
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            problem = f"its map cannot be written ({error.strerror or error})"
            return Reading(
                reading.path,
                reading.digest,
                reading.study_id,
                frame=reading.frame,
                time_s=reading.time_s,
                error=problem,
            )

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.waiting.put(None)
        self.thread.join()
        if self.error is not None and kind is None:
            raise self.error
