"""Splits and folds by patient, stratified as far as patients allow, by seed."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from secondread.cohorts.columns import COLUMNS
from secondread.cohorts.manifest import Manifest, ManifestLike
from secondread.cohorts.row import PackedRows, Row, patient_of_cells
from secondread.errors import UserError
from secondread.settings.arguments import checked
from secondread.wording.near_names import near_names
from secondread.wording.numbers import count

Numbers = NDArray[np.int64]
_OF_ONE_IMAGE = ("path", "mask", "patient_id", "study_id", "split")
"""Columns by which nothing can be spread alike."""


@checked
def split(
    manifest: ManifestLike,
    *,
    seed: int,
    test: float = 0.2,
    validation: float = 0.0,
    folds: int | None = None,
    stratify: Sequence[str] = ("label",),
    again: bool = False,
) -> Manifest:
    """The manifest with the column `split` filled, or with `folds` the column `fold` (0 … folds−1).

    test, validation   shares of the images; the rest is `train`
    folds              number of folds instead; `split` is then left empty, and a recipe names its fold
    stratify           columns whose values should be spread alike, as far as whole patients allow
    again              whether a split that is already there may be replaced

    A patient's images stay together (`patient_of`). Patients without any label go to train, and get no
    fold, because a test cannot use them. Raises UserError for shares or folds that cannot be met.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=8, n_abnormal=4)
    >>> parted = secondread.split(manifest, seed=0, test=0.5, again=True)
    >>> sorted({row.split for row in parted.rows})
    ['test', 'train']
    """
    manifest = Manifest.of(manifest)
    name = manifest.source or "manifest"
    column = "fold" if folds is not None else "split"
    rows = PackedRows.of(manifest.rows)
    taken = ("split", "fold") if folds is not None and "fold" in rows.further else ("split",)
    if not again and any(cell for each in taken for cell in rows.column(each)):
        raise UserError(f"{name}: rows already have a split or fold; pass --again to replace it")
    known = {*COLUMNS, *manifest.extra_columns}
    if unknown := [each for each in stratify if each not in known]:
        raise UserError(_no_column(name, unknown[0], manifest))
    parts = _parts(test, validation, folds)

    patients = _Patients(rows)
    if patients.labelled < len(parts):
        raise UserError(
            f"{name}: {count(patients.labelled, 'patient')} with labels cannot fill {len(parts)} parts"
        )
    part_of = patients.assigned(parts, [rows.column(each) for each in stratify], np.random.default_rng(seed))
    names = [*parts, "" if folds is not None else "train"]
    cells = (names[part] for part in part_of[patients.of_rows].tolist())
    if manifest.rows is rows:
        given = rows if column == "split" else rows.with_column("split", repeat("", len(rows)))
        return replace(manifest, rows=given.with_column(column, cells))
    if column == "split":
        return replace(manifest, rows=tuple(map(_in_split, manifest.rows, cells)))
    return replace(manifest, rows=tuple(map(_in_fold, manifest.rows, cells)))


def _in_split(row: Row, part: str) -> Row:
    return replace(row, split=part)


def _in_fold(row: Row, part: str) -> Row:
    return replace(row, split="", extra={**row.extra, "fold": part})


def _no_column(name: str, column: str, manifest: Manifest) -> str:
    """That a column to stratify by is not there, which ones may be, and how to have it."""
    filled = [each for each in COLUMNS if any(row.value(each) for row in manifest.rows)]
    useful = [each for each in (*filled, *manifest.extra_columns) if each not in _OF_ONE_IMAGE]
    near = near_names(column, useful, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    return (
        f"{name}: no column {column!r} to stratify by; {meant}there are {', '.join(useful) or 'none'}; add "
        f"the column to the manifest (`secondread index FOLDER --labels TABLE --keep {column}`), or leave "
        f"--stratify {column} out"
    )


def _parts(test: float, validation: float, folds: int | None) -> dict[str, float]:
    """Each part's share."""
    if folds is not None:
        if folds < 2:
            raise UserError(f"{folds} folds: give at least 2")
        return {str(k): 1 / folds for k in range(folds)}
    if not (0 <= test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise UserError(
            f"shares of {test:g} for test and {validation:g} for validation leave no training images"
        )
    shares = {"train": 1 - test - validation, "validation": validation, "test": test}
    return {part: share for part, share in shares.items() if share > 0}


class _Patients:
    """Who must stay together (`patient_of`), by numbers in the order of their names.

    of_rows   `[n]` each row's patient
    labelled  how many are to be parted: those with a labelled image, or all where none has one
    """

    def __init__(self, rows: PackedRows) -> None:
        known: dict[str, int] = {}
        of_rows = zip(rows.column("patient_id"), rows.column("study_id"), rows.column("path"), strict=True)
        cells = (f"patient {ids[0]}" if ids[0] else patient_of_cells(*ids) for ids in of_rows)
        appeared = np.fromiter((known.setdefault(who, len(known)) for who in cells), np.int64, len(rows))
        place = np.empty(len(known), np.int64)
        place[[known[who] for who in sorted(known)]] = np.arange(len(known))
        del known
        self.of_rows = place[appeared]
        has_label = np.zeros(len(place), bool)
        has_label[self.of_rows[np.fromiter(map(bool, rows.column("label")), bool, len(rows))]] = True
        self._parted = np.flatnonzero(has_label) if has_label.any() else np.arange(len(place))
        self.labelled = len(self._parted)
        self._images = np.bincount(self.of_rows, minlength=len(place))

    def assigned(
        self, parts: dict[str, float], columns: Sequence[Sequence[str]], rng: np.random.Generator
    ) -> Numbers:
        """`[patients]` which part each goes to, the number of parts for one that is not parted.

        Patients come stratum by stratum in random order; each goes to the part whose images so far fall
        most short of its share, in its stratum first and then over all, as in error diffusion.
        """
        shares = [*parts.values()]
        short_over_all = [0.0] * len(parts)
        part_of = np.full(len(self._images), len(parts))
        for members in self._strata(columns):
            short = (rng.permutation(len(parts)) * 1e-6).tolist()
            members = members[rng.permutation(len(members))]
            goes_to = array("q")
            for images in self._images[members].tolist():
                most, taken = -np.inf, 0
                for part, share in enumerate(shares):
                    short[part] += share * images
                    short_over_all[part] += share * images
                    lacks = short[part] + 0.5 * short_over_all[part]
                    if lacks > most:
                        most, taken = lacks, part
                short[taken] -= images
                short_over_all[taken] -= images
                goes_to.append(taken)
            part_of[members] = np.frombuffer(goes_to, np.int64)
        _fill_empty_parts(part_of, len(parts), rng)
        return part_of

    def _strata(self, columns: Sequence[Sequence[str]]) -> list[Numbers]:
        """The patients that are parted, by the values that their images have in each column."""
        key_of: list[tuple[tuple[int, ...], ...]] = [()] * self.labelled
        for cells in columns:
            values = {value: place for place, value in enumerate(sorted(set(cells)))}
            value = np.fromiter(map(values.__getitem__, cells), np.int64, len(self.of_rows))
            pairs = np.unique(self.of_rows * len(values) + value)
            begins = np.searchsorted(pairs, self._parted * len(values)).tolist()
            ends = np.searchsorted(pairs, (self._parted + 1) * len(values)).tolist()
            value_of = (pairs % len(values)).tolist()
            known: dict[tuple[int, ...], tuple[int, ...]] = {}
            for at, (begin, end) in enumerate(zip(begins, ends, strict=True)):
                found = tuple(value_of[begin:end])
                key_of[at] += (known.setdefault(found, found),)
        strata: dict[tuple[tuple[int, ...], ...], array[int]] = {}
        for who, key in zip(self._parted.tolist(), key_of, strict=True):
            strata.setdefault(key, array("q")).append(who)
        return [np.array(strata[key]) for key in sorted(strata)]


def _fill_empty_parts(part_of: Numbers, parts: int, rng: np.random.Generator) -> None:
    """Give every part at least one patient, taken from the fullest."""
    for part in range(parts):
        held = np.bincount(part_of, minlength=parts)[:parts]
        if not held[part]:
            candidates = np.flatnonzero(part_of == np.argmax(held))
            part_of[candidates[int(rng.integers(len(candidates)))]] = part
