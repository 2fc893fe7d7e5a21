"""The table of readings that scoring left in a folder, read back for evaluation and for people.

A folder of readings holds `readings.csv`, `run.json`, `acquisition.csv`, `thumbnails.npz` and, where
maps were asked for, `maps/`. Nothing here needs torch.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from secondread import tables
from secondread.errors import DataError, UserError
from secondread.images.several_files import absolute, under
from secondread.readings.score_record import ScoreRecord
from secondread.wording.frame import data_frame
from secondread.wording.html_tables import html_block, html_line, html_picture, html_table
from secondread.wording.numbers import significant
from secondread.wording.short import Short, shortened

if TYPE_CHECKING:
    import pandas

MOST_SHOWN = 12

FACTS = "facts.jsonl"
NOT_SEEN = frozenset({"", "0", "no", "none", "false"})


@dataclass(frozen=True, repr=False)
class Reading(Short):
    """One image's result, as scoring wrote it.

    path       the reference as given to `score`: a manifest's path string, or a path
    score      higher = more abnormal; None where the image failed
    p_value    conformal p-value among calibration normals
    flagged    whether the score reached the calibrated threshold
    parts      the raw named statistics of the detector
    baselines  scores of the trivial one-class baselines, by name
    seen       the cohort in which the bundle saw these pixels (by digest), or empty
    error      why the image gave no score, or empty
    map        the heat map's file, or None
    remarks    what a person should know of the image (missing slices, a tilted gantry, a constant image, …)
    """

    path: str
    digest: str = ""
    study_id: str = ""
    score: float | None = None
    p_value: float | None = None
    flagged: bool | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, float] = field(default_factory=dict)
    score_without_complexity: float | None = None
    seen: str = ""
    error: str = ""
    map: Path | None = None
    remarks: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return self.score is None


@dataclass(frozen=True)
class Readings:
    """All readings of one run.

    rows         in the file's order; where a path stands twice (a failed image read again), the last
    run          `run.json`: what the run was, and what its bundle promised
    acquisition  path -> facts about how the image was made and stored
    thumbnails   path -> float32 `[16, 16]`
    studies      path of a study's worst image -> the study's reading (`studies.csv`), whose `path` is the
                 study id; studies without a score are left out
    fingerprints path -> its file's fingerprint when it was read (see `preprocessing.cache.cache`)

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=50, n_abnormal=10)
    >>> bundle = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
    >>> _ = secondread.score(bundle, manifest, "readings", where=["split=test"], workers=0)
    >>> readings = secondread.Readings.read("readings/readings.csv")
    >>> sum(reading.failed for reading in readings.rows)
    0
    """

    directory: Path
    rows: tuple[Reading, ...]
    run: ScoreRecord
    acquisition: Mapping[str, Mapping[str, str]]
    thumbnails: Mapping[str, NDArray[np.float32]]
    studies: Mapping[str, Reading] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Reading]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return f"<Readings of {len(self):,} images in {shortened(self.directory.name, 60)}: {self._counts()}>"

    def _counts(self) -> str:
        failed = sum(row.failed for row in self.rows)
        flagged = sum(bool(row.flagged) for row in self.rows)
        return f"{flagged:,} flagged" + (f", {failed:,} without a score" if failed else "")

    def _repr_html_(self) -> str:
        """As notebooks show it: the images with the highest scores, and those without one."""
        ranked = sorted(self.rows, key=lambda row: -math.inf if row.score is None else row.score)
        shown = [row for row in ranked[::-1] if not row.failed][:MOST_SHOWN]
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

    def _picture(self, path: str) -> str:
        values = self.thumbnails.get(path)
        return "" if values is None else html_picture(np.nan_to_num(values))

    def to_pandas(self) -> pandas.DataFrame:
        """One line per image: path, study, score, p-value, flag, each part (`part_NAME`) and baseline
        (`baseline_NAME`), where it was seen, its map and error; what an image lacks is missing.

        Raises UserError where pandas is not installed.
        """
        columns: dict[str, list[Any]] = {
            name: [getattr(row, name) for row in self.rows]
            for name in ("path", "study_id", "score", "p_value", "flagged")
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
    def read(cls, readings_csv: str | Path) -> Self:
        """Read `readings.csv` (or the folder that holds it) with what lies beside it.

        Raises UserError where there is no such file or it is not a table of readings, DataError where
        the file is damaged.
        """
        path = Path(readings_csv)
        if path.is_dir():
            path = path / "readings.csv"
        if not path.is_file():
            raise UserError(f"{path}: no such file; give the readings.csv that `secondread score` wrote")
        rows = _read_rows(path, "path")
        return cls(
            directory=path.parent,
            rows=rows,
            run=ScoreRecord.read(path.parent / "run.json"),
            acquisition=_read_acquisition(path.parent / "acquisition.csv"),
            thumbnails=_read_thumbnails(path.parent / "thumbnails.npz"),
            studies=_read_studies(path.parent / "studies.csv"),
            fingerprints={
                line["path"]: line["fingerprint"]
                for line in read_facts(path.parent / FACTS)
                if isinstance(line.get("fingerprint"), str)
            },
        )

    @property
    def base(self) -> Path | None:
        """The folder that the readings' paths are relative to."""
        return Path(self.run.base) if self.run.base else None

    def reference(self, reading: Reading) -> str:
        """The absolute reference of the image that was read."""
        return absolute(under(self.base or "", reading.path))


def read_facts(path: Path) -> list[dict[str, Any]]:
    """The whole lines of `facts.jsonl`; one that is torn or damaged is dropped."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        with contextlib.suppress(ValueError):
            facts = json.loads(line)
            if isinstance(facts, dict) and {"path", "facts", "thumbnail"} <= facts.keys():
                found.append(facts)
    return found


def _read_rows(path: Path, name: str) -> tuple[Reading, ...]:
    rows: dict[str, Reading] = {}
    for where, row in _table(path, (name, "score")):
        rows.pop(row[name], None)
        rows[row[name]] = _reading(row, row[name], path.parent, where)
    return tuple(rows.values())


def _table(path: Path, needed: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each row of a table stands, and its cells by column."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = tables.read(file)
            _, columns = next(table, (1, []))
            for name in needed:
                if name not in columns:
                    raise UserError(
                        f"{path}: no column {name!r}; give the table that `secondread score` wrote"
                    )
            for number, cells in table:
                where = f"{path}, line {number}"
                if len(cells) != len(columns):
                    raise DataError(f"{where}: the row is cut short or too long; run the same `score` again")
                yield where, dict(zip(columns, cells, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: damaged ({error}); run the same `score` again") from None


def _read_studies(path: Path) -> dict[str, Reading]:
    if not path.is_file():
        return {}
    rows = _read_rows(path, "worst_image")
    return {row.path: replace(row, path=row.study_id) for row in rows if row.path}


def _reading(row: Mapping[str, str], name: str, directory: Path, where: str) -> Reading:
    def number(column: str) -> float | None:
        text = row.get(column, "").strip()
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            raise DataError(f"{where}, column {column}: {text!r} is not a number") from None
        return value if math.isfinite(value) else None

    def group(prefix: str) -> dict[str, float]:
        found = {name: number(name) for name in row if name.startswith(prefix)}
        return {name.removeprefix(prefix): value for name, value in found.items() if value is not None}

    score = number("score")
    error = row.get("error", "").strip()
    if score is None and not error:
        error = "no finite score"
    if error:
        score = None
    flagged = row.get("flagged", "").strip().lower()
    seen = row.get("seen", "").strip()
    return Reading(
        path=name,
        digest=row.get("digest", "").strip(),
        study_id=row.get("study_id", "").strip(),
        score=score,
        p_value=number("p_value"),
        flagged=None if not flagged or score is None else flagged in {"1", "true", "yes"},
        parts=group("part_"),
        baselines=group("baseline_"),
        score_without_complexity=number("score_without_complexity"),
        seen="" if seen.lower() in NOT_SEEN else seen,
        error=error,
        map=directory / row["map"] if row.get("map", "").strip() else None,
        remarks=tuple(part for part in row.get("remarks", "").split("; ") if part.strip()),
    )


def _read_acquisition(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    return {
        row["path"]: {name: value for name, value in row.items() if name != "path"}
        for _, row in _table(path, ("path",))
    }


def _read_thumbnails(path: Path) -> dict[str, NDArray[np.float32]]:
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            names, pictures = stored["paths"], stored["thumbnails"]
        if len(names) != len(pictures) or pictures.shape[1:] != (16, 16) or pictures.dtype.kind != "f":
            raise ValueError("not one thumbnail of 16×16 for each path")
    except Exception as error:  # NumPy's archives raise many kinds where a byte is wrong
        raise DataError(f"{path}: damaged ({error}); run the same `score` again") from None
    return {str(name): np.asarray(picture, np.float32) for name, picture in zip(names, pictures, strict=True)}
