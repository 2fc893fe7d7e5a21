"""What is wrong or suspicious in a manifest and its images, before anything is learned from them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from secondread.cohorts.checking.findings import Severity, findings
from secondread.cohorts.checking.inspection import inspect
from secondread.cohorts.checking.seen_table import SeenTable
from secondread.cohorts.manifest import Manifest, ManifestLike
from secondread.cohorts.manifest_file import ManifestFile
from secondread.cohorts.row import Row
from secondread.images.several_files import under
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Failed
from secondread.settings.arguments import checked


@dataclass(frozen=True)
class Finding:
    """One thing that a person should look at.

    severity  `error`: results would be wrong or images would fail; `warning`: results may mislead;
              `note`: worth knowing
    kind      a word for scripts: unreadable (non-finite values too), constant, duplicate, patients, mask,
              size, files, channels, modality, remark, giveaway
    line      what was found
    paths     the images it concerns, as the manifest writes them
    """

    severity: Severity
    kind: str
    line: str
    paths: tuple[str, ...] = ()


@checked
def check(
    manifest: ManifestLike,
    *,
    workers: int = 2,
    timeout_s: float = 60,
    progress: Callable[[int], None] | None = None,
) -> list[Finding]:
    """Read every image and mask and tell what was found, errors first.

    `progress` is called with the number of images read so far. Of a manifest in a file no list of rows is
    held: what was seen goes to a table in the folder for temporary files (`TMPDIR`). Raises UserError where
    that disk is full.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=8, n_abnormal=4)
    >>> [finding.line for finding in secondread.check(manifest, workers=0) if finding.severity == "error"]
    []
    """
    with closing(SeenTable()) as table:
        if isinstance(manifest, str | Path):
            file = ManifestFile(Path(manifest))
            file.looked_through()
            rows, base = file.rows(), file.base
        else:
            given = Manifest.of(manifest)
            rows, base = iter(given.rows), given.base
        see(table, rows, base, workers=workers, timeout_s=timeout_s, progress=progress)
        return [Finding(f.severity, f.kind, f.line, tuple(f.paths)) for f in findings(table)]


def see(
    table: SeenTable,
    rows: Iterable[Row],
    base: Path,
    *,
    workers: int,
    timeout_s: float = 60,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Read every row's image and mask into the table. Rows are taken as workers need them, and let go of
    once they are read."""
    under_way: deque[Row] = deque()

    def items() -> Iterator[tuple[str, str | None]]:
        for row in rows:
            under_way.append(row)
            yield references(row, base)

    results = map_in_workers(inspect, items(), workers=workers, timeout_s=timeout_s)
    for done, result in enumerate(results, start=1):
        table.add(under_way.popleft(), result.error if isinstance(result, Failed) else result.value)
        if progress is not None:
            progress(done)
    table.finish()


def references(row: Row, base: Path) -> tuple[str, str | None]:
    """A row's image and mask as references that hold from anywhere."""
    return under(base, row.path), under(base, row.mask) if row.mask else None
