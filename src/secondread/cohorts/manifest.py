"""The manifest: the CSV or Parquet file that lists images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

from secondread.cohorts.columns import COLUMNS, LABELS
from secondread.cohorts.conditions import none_meets, parsed, some_of, which_meet
from secondread.cohorts.manifest_table import parse_rows, read_rows
from secondread.cohorts.manifest_writing import rows_where, write_manifest
from secondread.cohorts.row import ROWS_AT_ONCE, PackedRows, Row, RowsDigest, columns_of
from secondread.errors import UserError
from secondread.images.several_files import absolute, under
from secondread.outputs.temporary import TemporaryFolder
from secondread.settings.arguments import checked
from secondread.wording.frame import data_frame
from secondread.wording.html_tables import html_block, html_line, html_table
from secondread.wording.short import shortened

if TYPE_CHECKING:
    import pandas
    from pandas import DataFrame

ManifestLike: TypeAlias = Union["Manifest", str, Path, "DataFrame"]
"""A manifest, the path of its file, or a pandas DataFrame with its columns."""
_MOST_SHOWN = 8


@dataclass(frozen=True)
class Manifest:
    """The rows of a manifest and the folder that their paths are relative to.

    `rows` of a file or DataFrame are packed: a `Row` is made each time that one is asked for.
    `notes` are lines that a person should see: columns that were read under another name, or may be meant.
    `kept` is the temporary folder of images that were in memory (`manifest_of_arrays`): it is there as long
    as a manifest that has it.

    >>> import secondread
    >>> path = secondread.make_phantoms("phantoms", seed=0, n_normal=8, n_abnormal=4)
    >>> manifest = secondread.Manifest.read(path)
    >>> len(manifest.where("label=abnormal").rows)
    4
    """

    rows: Sequence[Row]
    base: Path
    source: str = ""
    notes: tuple[str, ...] = ()
    kept: TemporaryFolder | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __repr__(self) -> str:
        told = ", ".join(
            f"{split or 'no split'}: {' + '.join(f'{n:,} {label}' for label, n in labels.items())}"
            for split, labels in self.counts().items()
        )
        name = f" {shortened(Path(self.source).name, 60)}" if self.source else ""
        return f"<Manifest{name} of {len(self):,} images; {told}>"

    def _repr_html_(self) -> str:
        """As notebooks show it: how many rows there are of each kind, and the first of them."""
        labels = (*LABELS[:2], "unlabelled")
        counted = [
            (split or "(no split)", *(f"{counts.get(label, 0):,}" for label in labels))
            for split, counts in self.counts().items()
        ]
        columns = [name for name in COLUMNS if name == "path" or any(row.value(name) for row in self.rows)]
        shown = [[row.value(name) for name in columns] for row in self.rows[:_MOST_SHOWN]]
        more = len(self) - len(shown)
        return html_block(
            f"{self.source or 'A manifest'}: {len(self):,} images",
            html_table(("split", *labels), counted),
            html_table(columns, shown, left=len(columns)),
            html_line(f"and {more:,} more") if more else "",
            *map(html_line, self.notes),
        )

    def counts(self) -> dict[str, dict[str, int]]:
        """How many rows there are by split and, within it, by label; `unlabelled` where that is empty."""
        found: dict[str, dict[str, int]] = {}
        for row in self.rows:
            labels = found.setdefault(row.split, {})
            labels[row.label or "unlabelled"] = labels.get(row.label or "unlabelled", 0) + 1
        return {split: dict(sorted(labels.items())) for split, labels in sorted(found.items())}

    def to_pandas(self) -> pandas.DataFrame:
        """One line per image, all columns as text. Raises UserError where pandas is not installed."""
        columns = (*COLUMNS, *self.extra_columns)
        return data_frame({name: [row.value(name) for row in self.rows] for name in columns})

    @classmethod
    @checked
    def read(cls, path: str | Path) -> Manifest:
        """The manifest in a CSV file (UTF-8 with or without BOM, comma-separated, first line = columns; see
        `secondread.tables`) or in a Parquet file, told by its first bytes. Columns in another spelling are
        taken for the project's own (see `columns`).

        Raises UserError that names file, line and column where the file cannot be read, is empty, has
        no `path` column, several columns that may be one, a row of another length than the header, an
        unknown split or label, or a path twice.
        """
        path = Path(path)
        rows, notes = read_rows(path)
        if not rows:
            raise UserError(f"{path}: the manifest is empty; it needs one line per image below the header")
        return cls(rows, path.resolve().parent, str(path), notes)

    @classmethod
    def of(cls, given: ManifestLike) -> Manifest:
        """A manifest as it is, one in a file (`read`), or one in a pandas DataFrame (`from_pandas`).
        UserError for anything else."""
        if isinstance(given, Manifest):
            return given
        if isinstance(given, str | Path):
            return cls.read(given)
        if not hasattr(given, "iterrows"):
            raise UserError(
                f"{type(given).__name__}: is no manifest; give one, its file or a DataFrame with its "
                "columns, and of images in memory what manifest_of_arrays makes of them"
            )
        return cls.from_pandas(given)

    @classmethod
    def from_pandas(cls, frame: DataFrame, base: str | Path = ".") -> Manifest:
        """The manifest in a pandas DataFrame with the columns of a manifest's file.

        A missing value is an empty cell. Relative paths are relative to `base`. Raises UserError as `read`
        does, counting rows as lines of a file, the header being line 1.
        """
        cells = frame.astype(object).where(frame.notna(), "").to_numpy().tolist()
        lines = [[str(name) for name in frame.columns], *([str(cell) for cell in row] for row in cells)]
        rows, notes = parse_rows(Path("DataFrame"), iter(list(enumerate(lines, start=1))))
        if not rows:
            raise UserError("DataFrame: the manifest is empty; it needs one row per image")
        return cls(rows, Path(base).resolve(), "", notes)

    @checked
    def write(self, path: str | Path) -> Path:
        """Write as CSV, or as Parquet where the name ends so; relative paths are rewritten so that they hold
        from the new place. Raises UserError where Parquet needs pyarrow."""
        path = Path(path)
        write_manifest(path, lambda: self.rows, self.base)
        return path

    def with_absolute_paths(self) -> Manifest:
        """The same rows with paths that hold from anywhere."""
        rows = (
            replace(row, path=absolute(self.reference(row)), mask=self.mask_reference(row) or "")
            for row in self.rows
        )
        return replace(self, rows=self._held(rows))

    def reference(self, row: Row) -> str:
        """The row's image as a reference that holds from anywhere."""
        return under(self.base, row.path)

    def mask_reference(self, row: Row) -> str | None:
        """The row's mask as a reference that holds from anywhere, or None where it has none."""
        return under(self.base, row.mask) if row.mask else None

    @property
    def extra_columns(self) -> list[str]:
        """The further columns, in the order in which they first appear."""
        if isinstance(self.rows, PackedRows):
            return list(self.rows.further)
        seen: dict[str, None] = {}
        for row in self.rows:
            seen.update(dict.fromkeys(row.extra))
        return list(seen)

    @checked
    def where(self, *conditions: str) -> Manifest:
        """The rows that meet every condition, such as `view=PA`, `view=PA|AP`, `age>=18`, `site!=B`.

        Raises UserError for a condition that cannot be read, an unknown column, or when no row is left.
        """
        if not conditions:
            return self
        source = self.source or "manifest"
        if not isinstance(self.rows, PackedRows):
            return replace(self, rows=tuple(rows_where(lambda: self.rows, conditions, source)()))
        wanted = parsed(conditions, self.extra_columns, source)
        rows = PackedRows(self.rows.further)
        for some in self.rows.in_columns(ROWS_AT_ONCE):
            rows.extend(some_of(some, which_meet(some, wanted)))
        if not rows:
            raise none_meets(conditions, source)
        return replace(self, rows=rows)

    @checked
    def with_fold(self, fold: int) -> Manifest:
        """Split by the column `fold`: rows of this fold become `test`, all others `train`."""
        folds = {row.extra.get("fold", "") for row in self.rows}
        if str(fold) not in folds:
            known = ", ".join(sorted(folds - {""})) or "none"
            raise UserError(
                f"{self.source or 'manifest'}: no row has fold {fold} in the column fold "
                f"(folds there: {known}); run `secondread split MANIFEST --folds K`"
            )
        rows = (replace(r, split="test" if r.extra.get("fold") == str(fold) else "train") for r in self.rows)
        return replace(self, rows=self._held(rows))

    def _held(self, rows: Iterable[Row]) -> Sequence[Row]:
        """Rows as those of this manifest are held."""
        return PackedRows(self.rows.further, rows) if isinstance(self.rows, PackedRows) else tuple(rows)

    @cached_property
    def digest(self) -> str:
        """Hex BLAKE2b-160 of all cells: equal for manifests that say the same."""
        digest = RowsDigest(self.extra_columns)
        for some in columns_of(self.rows, ROWS_AT_ONCE):
            digest.add_columns(some)
        return digest.hex
