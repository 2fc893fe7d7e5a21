"""The table of readings that scoring left in a folder, read back for evaluation and for people.

A folder of readings holds `readings.csv`, `run.json`, `acquisition.csv`, `thumbnails.npz` and, where
maps were asked for, `maps/`. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from secondread.cohorts.sequences import PLACES
from secondread.errors import UserError
from secondread.images.several_files import absolute, under
from secondread.readings.reading import Reading
from secondread.readings.score_record import CalibrationRecord, LevelRecord, ScoreRecord
from secondread.readings.streamed.beside_readings import acquisition_in, fingerprints_in, thumbnails_in
from secondread.readings.streamed.packed_readings import PackedReadings, each_reading
from secondread.readings.streamed.packed_studies import PackedStudies
from secondread.settings.arguments import checked
from secondread.wording.frame import data_frame
from secondread.wording.html_tables import html_block, html_line, html_picture, html_table
from secondread.wording.numbers import significant
from secondread.wording.short import shortened

if TYPE_CHECKING:
    import pandas

MOST_SHOWN = 12


@dataclass(frozen=True)
class Readings:
    """All readings of one run. Acquisition, thumbnails and fingerprints of a folder stay on the disk.

    rows         in the file's order, packed; where a path stands twice (a failed image read again), the last
    run          `run.json`: what the run was, and what its bundle promised
    acquisition  path -> facts about how the image was made and stored
    thumbnails   path -> float32 `[16, 16]`
    studies      path of a study's worst image -> the study's reading (`studies.csv`), whose `path` is the
                 study id; studies without a score are left out
    fingerprints path -> its file's fingerprint when it was read (see `preprocessing.cache.cache`)
    maps         path -> float32 heat map on the image's own grid, of readings in memory; None where none were
                 asked for or they are files, which the readings' `map` names

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=50, n_abnormal=10)
    >>> bundle = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
    >>> _ = secondread.score(bundle, manifest, "readings", where=["split=test"], workers=0)
    >>> readings = secondread.Readings.read("readings/readings.csv")
    >>> sum(reading.failed for reading in readings.rows)
    0
    """

    directory: Path
    rows: Sequence[Reading]
    run: ScoreRecord
    acquisition: Mapping[str, Mapping[str, str]]
    thumbnails: Mapping[str, NDArray[np.float32]]
    studies: Mapping[str, Reading] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    maps: Mapping[str, NDArray[np.float32]] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Reading]:
        return iter(self.rows)

    def __repr__(self) -> str:
        where = shortened(self.directory.name, 60) or "memory"
        return f"<Readings of {len(self):,} images in {where}: {self._counts()}>"

    def _counts(self) -> str:
        failed = sum(row.failed for row in self.rows)
        judged = [row.flagged for row in self.rows if row.flagged is not None]
        flagged = f"{sum(judged):,} flagged" if judged else "none judged"
        return flagged + (f", {failed:,} without a score" if failed else "")

    def _repr_html_(self) -> str:
        """As notebooks show it: the images with the highest scores, and those without one."""
        scored = ((row.score, at) for at, row in enumerate(self.rows) if row.score is not None)
        shown = [self.rows[at] for _, at in nlargest(MOST_SHOWN, scored)]
        lines = [
            (
                self._picture(row.path),
                row.path,
                significant(row.score),
                significant(row.p_value),
                {True: "flagged", False: "", None: ""}[row.flagged],
            )
            for row in shown
        ]
        failed = [(row.path, row.error) for row in self.rows if row.failed]
        more = len(self) - len(failed) - len(shown)
        return html_block(
            f"{len(self):,} readings by {self.run.model.name or 'an unnamed model'}: {self._counts()}",
            html_table(("", "path", "score", "p-value", ""), lines, left=2) if lines else "",
            html_line(f"and {more:,} more with lower scores") if more else "",
            html_table(("without a score", "reason"), failed[:MOST_SHOWN], left=2) if failed else "",
        )

    @property
    def _places(self) -> tuple[str, ...]:
        return PLACES if any(row.frame is not None for row in self.rows) else ()

    def _picture(self, path: str) -> str:
        values = self.thumbnails.get(path)
        return "" if values is None else html_picture(np.nan_to_num(values))

    def to_pandas(self) -> pandas.DataFrame:
        """One line per image: path, study, of frames their place and time, score, p-value, flag, each part
        (`part_NAME`) and baseline (`baseline_NAME`), where it was seen, its map and error; what an image
        lacks is missing.

        Raises UserError where pandas is not installed.
        """
        columns: dict[str, list[Any]] = {
            name: [getattr(row, name) for row in self.rows]
            for name in ("path", "study_id", *self._places, "score", "p_value", "flagged")
        }
        for group, kind in (("parts", "part"), ("baselines", "baseline")):
            for name in dict.fromkeys(name for row in self.rows for name in getattr(row, group)):
                columns[f"{kind}_{name}"] = [getattr(row, group).get(name) for row in self.rows]
        if any(row.score_without_complexity is not None for row in self.rows):
            columns["score_without_complexity"] = [row.score_without_complexity for row in self.rows]
        columns |= {name: [getattr(row, name) for row in self.rows] for name in ("seen", "error", "digest")}
        columns["map"] = [None if row.map is None else str(row.map) for row in self.rows]
        return data_frame(columns)

    @classmethod
    @checked
    def read(cls, readings_csv: str | Path) -> Self:
        """Read `readings.csv` (or the folder that holds it) with what lies beside it.

        Raises UserError where there is no such file or it is not a table of readings, DataError where
        the file is damaged; of acquisition, thumbnails and fingerprints when one of them is first asked for.
        """
        path = Path(readings_csv)
        if path.is_dir():
            path = path / "readings.csv"
        if not path.is_file():
            raise UserError(f"{path}: no such file; give the readings.csv that `secondread score` wrote")
        folder, run = path.parent, ScoreRecord.read(path.parent / "run.json")
        told = run.calibration
        return cls(
            directory=folder,
            rows=PackedReadings.read(path, judged=_judged(told, None if told is None else told.images)),
            run=run,
            acquisition=acquisition_in(folder),
            thumbnails=thumbnails_in(folder),
            studies=PackedStudies.read(
                folder / "studies.csv", judged=_judged(told, None if told is None else told.studies)
            ),
            fingerprints=fingerprints_in(folder),
        )

    @property
    def packed(self) -> PackedReadings:
        """Its rows as columns, of readings that come from a folder."""
        assert isinstance(self.rows, PackedReadings)
        return self.rows

    @property
    def base(self) -> Path | None:
        """The folder that the readings' paths are relative to."""
        return Path(self.run.base) if self.run.base else None

    def reference(self, reading: Reading) -> str:
        """The absolute reference of the image that was read."""
        return self.reference_of(reading.path)

    def reference_of(self, path: str) -> str:
        """The absolute reference of an image by its reading's path."""
        return absolute(under(self.base or "", path))


def each_reading_of(path: Path, run: ScoreRecord) -> Iterator[Reading]:
    """The rows of `readings.csv` alone, as its run judged them, one after the other."""
    told = run.calibration
    return each_reading(path, judged=_judged(told, None if told is None else told.images))


def _judged(calibration: CalibrationRecord | None, level: LevelRecord | None) -> bool:
    """Whether the calibration had normals enough for flags: earlier versions wrote false where not."""
    return calibration is None or (level is not None and level.threshold is not None)
