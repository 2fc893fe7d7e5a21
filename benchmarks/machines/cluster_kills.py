"""Workers of `check --ray` and `index --ray` are killed, and the tables are those of an undisturbed run.

    python benchmarks/machines/cluster_kills.py FOLDER MANIFEST IMAGES --kills 3

`check` looks through MANIFEST in shards of 40 rows, `index` lists the folder IMAGES, both on a Ray of this
machine and into FOLDER: once undisturbed, and once while Ray's workers are killed with `kill -9` as soon as
they have a piece. Ends with 1 where a table differs or nobody was killed.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

AT_WORK = "ray::_do"
"""How Ray names a process that does a piece."""
WAIT_S, LOOK_S = 90.0, 0.3


def killed_one() -> bool:
    for process in psutil.process_iter(["cmdline"]):
        if " ".join(process.info["cmdline"] or ()).startswith(AT_WORK):
            os.kill(process.pid, signal.SIGKILL)
            return True
    return False


def run(words: Sequence[str], kills: int) -> tuple[int, int]:
    """The command's exit status, and how many workers were killed."""
    process = subprocess.Popen([sys.executable, "-m", "secondread", *words], stdout=subprocess.DEVNULL)
    killed, latest = 0, time.monotonic() + WAIT_S
    while killed < kills and process.poll() is None and time.monotonic() < latest:
        time.sleep(LOOK_S)
        killed += killed_one()
    return process.wait(), killed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("manifest")
    parser.add_argument("images")
    parser.add_argument("--kills", type=int, default=3)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    key = given.folder / "key"
    key.touch(0o600)
    key.write_text(secrets.token_hex(32) + "\n")
    asked = {
        "check": ["check", given.manifest, "--shard-rows", "40", "--workers", "1"],
        "index": ["index", given.images, "--key", str(key), "--force"],
    }
    good = True
    for name, words in asked.items():
        tables = [given.folder / f"{name}-{way}.csv" for way in ("alone", "killed")]
        found = [
            run([*words, "--ray", "local", "-o", str(table), "-q"], kills)
            for table, kills in zip(tables, (0, given.kills), strict=True)
        ]
        same = all(table.is_file() for table in tables) and filecmp.cmp(*tables, shallow=False)
        good = good and same and found[0][0] == found[1][0] and found[1][1] > 0
        print(f"{name}: {found[1][1]} workers killed, status {found[1][0]}, tables equal: {same}", flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
