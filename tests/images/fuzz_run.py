"""Many damaged files through the readers in workers, and through `index` in this process."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from fuzz_mutations import mutated
from fuzz_seeds import seeds

from secondread.cohorts.listing.index import index
from secondread.errors import DataError, UserError
from secondread.images.image import ImageError
from secondread.images.read import list_members, read_image, series_in_folder
from secondread.images.read_header import read_header
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Failed

BATCH = 200
_MEMBERS = ("", "#frame/0", "#frame/1", "#train_images/1", "#val_images/0")


@dataclass(frozen=True)
class Tried:
    """What each reader made of one file: `read`, `refused`, or the error that it should not raise."""

    path: str
    outcomes: dict[str, str]
    seconds: float
    peak_bytes: int


def try_readers(path: str) -> Tried:
    """In a worker: every reader on one file."""
    started = time.perf_counter()
    members = [member for member in _MEMBERS if member in ("", "#frame/0") or path.endswith("1")]
    readers: dict[str, Callable[[], object]] = {
        f"read_image{member}": lambda member=member: read_image(path + member) for member in members
    }
    readers["read_header"] = lambda: read_header(path)
    readers["list_members"] = lambda: list_members(path)
    if int(Path(path).name[:6]) % BATCH == 0:
        readers["series_in_folder"] = lambda: series_in_folder(Path(path).parent)
    outcomes = {}
    for name, reader in readers.items():
        try:
            reader()
            outcomes[name] = "read"
        except ImageError as error:
            lines = str(error).splitlines()
            outcomes[name] = "refused" if len(lines) == 1 else f"a refusal of {len(lines)} lines: {error}"
        except BaseException as error:
            outcomes[name] = f"{type(error).__name__}: {error}"[:300]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Tried(path, outcomes, time.perf_counter() - started, peak)


@dataclass
class Report:
    """Counts of outcomes, and every fault.

    escapes      another error class than ImageError, or another error than a person's in `index`
    hangs        files without an answer in time, and the seconds that a whole batch took beyond its due
    lost         files whose decoder ended its process: one row each, and right
    growth       bytes by which this process grew at most
    """

    files: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    escapes: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    slowest: list[tuple[float, str]] = field(default_factory=list)
    growth: int = 0


def fuzz(
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    zoo: Path | None = None,
    workers: int = 2,
    timeout_s: float = 60.0,
    memory_bytes: int = 4 << 30,
    note: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Make `count` damaged files in `folder`, a batch at a time, and try them. Bad ones are kept there."""
    rng = np.random.default_rng(seed)
    made = seeds(folder, zoo)
    names, contents = list(made), list(made.values())
    own = sum(not name.startswith("zoo ") for name in names)
    report = Report()
    before = _resident()
    while report.files < count:
        batch = folder / f"{report.files:06}"
        batch.mkdir()
        paths = []
        for number in range(report.files, min(count, report.files + BATCH)):
            chosen = int(rng.integers(own if rng.random() < 0.6 else len(names)))
            path = batch / f"{number:06} {names[chosen]} {number % 10}"
            path.write_bytes(mutated(contents[chosen], contents, rng))
            paths.append(path)
        bad = _try(paths, report, workers, timeout_s, memory_bytes)
        bad |= _index(batch, report, workers)
        for path in paths:
            if path not in bad:
                path.unlink()
        if not bad:
            batch.rmdir()
        report.files += len(paths)
        report.growth = max(report.growth, _resident() - before)
        note(report)
    return report


def _try(paths: list[Path], report: Report, workers: int, timeout_s: float, memory_bytes: int) -> set[Path]:
    bad = set()
    results = map_in_workers(
        try_readers,
        [str(path) for path in paths],
        workers=workers,
        timeout_s=timeout_s,
        memory_bytes=memory_bytes,
    )
    for path, result in zip(paths, results, strict=True):
        if isinstance(result, Failed):
            kind = report.hangs if "no answer within" in result.error.problem else report.lost
            kind.append(f"{path}: {result.error.problem}")
            report.counts[result.error.problem[:60]] += 1
            bad.add(path)
            continue
        for reader, outcome in result.value.outcomes.items():
            known = outcome in ("read", "refused")
            report.counts[f"{reader}: {outcome if known else 'escaped'}"] += 1
            if not known:
                report.escapes.append(f"{path}: {reader}: {outcome}")
                bad.add(path)
        report.slowest = sorted([*report.slowest, (result.value.seconds, str(path))])[-10:]
        if any(path == Path(name) for _, name in report.slowest[-3:]):
            bad.add(path)
    return bad


def _index(batch: Path, report: Report, workers: int) -> set[Path]:
    """The batch as a folder of a person's: what `index` reads of it must not end it."""
    started = time.monotonic()
    try:
        made = index(batch, manifest_path=batch.parent / "manifest.csv", workers=workers).manifest
        made.write(batch.parent / "manifest.csv")
        if len(made.rows) > 100 * BATCH:
            report.escapes.append(f"{batch}: index: {len(made.rows)} rows")
        report.counts["index: read"] += 1
    except (UserError, DataError, ImageError):
        report.counts["index: refused"] += 1
    except BaseException as error:
        report.escapes.append(f"{batch}: index: {type(error).__name__}: {error}"[:400])
        return set(batch.iterdir())
    if time.monotonic() - started > 120:
        report.hangs.append(f"{batch}: index took {time.monotonic() - started:.0f} s")
    return set()


def _resident() -> int:
    """The highest resident memory of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
