"""What was found, as files: `drift.json`, and `drift.csv` with a row for each alarm."""

from __future__ import annotations

import json
from pathlib import Path

from secondread import tables
from secondread.drift.of_readings import Drift
from secondread.drift.told import remedy, sentence
from secondread.outputs.whole import write_whole

COLUMNS = ("scanner", "studies", "watcher", "kind", "study", "since", "words", "remedy")


def write_drift(drift: Drift, folder: Path) -> None:
    """A stream without an alarm has a row whose other cells are empty."""
    text = json.dumps(drift.document(), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_whole(folder / "drift.json", text.encode())
    rows: list[list[str]] = [list(COLUMNS)]
    for stream in drift.streams:
        head = [stream.scanner, str(stream.watch.studies)]
        if not stream.changes:
            rows.append(head + [""] * (len(COLUMNS) - 2))
        for one in stream.changes:
            place = [one.watcher, one.kind, str(one.study), str(one.since)]
            rows.append([*head, *place, sentence(one), remedy(one, drift.bundle)])
    write_whole(folder / "drift.csv", tables.table(rows).encode())
