"""The PACS away for an hour, under a stream of studies: what waits, how soon it arrives, and what is lost.

    python benchmarks/service/pacs_away.py [--seconds 3600] [--pause 30]

The archive that gets the results is shut down while studies are sent, and started again later on the same
port. Numbers of tries are those of a configuration that says nothing of them. At the end the account is that
of `kills.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
for place in ("tests/service/processes", "tests/results/dicom", "tests/servers"):
    sys.path.insert(0, str(HERE.parents[1] / place))

import yaml  # noqa: E402
from whole_service import (  # noqa: E402
    Archive,
    Running,
    Stream,
    account,
    configuration,
    made_bundle,
    wait_until_settled,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--pause", type=float, default=30.0, help="seconds between studies")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pacs-away-") as temporary:
        folder, archive = Path(temporary), Archive()
        file = configuration(folder, made_bundle(folder), archive.port)
        told = yaml.safe_load(file.read_text())
        del told["tries"]
        file.write_text(yaml.safe_dump(told))
        (folder / "films").mkdir()
        with Running(file) as running:
            stream = Stream(folder / "films", running.settings.receive.port, pause_s=given.pause, seed=1)
            with archive:
                stream.start()
                wait_for(lambda: len(archive.received) > 0)
            before = len(archive.received)
            time.sleep(given.seconds)
            stream.enough()
            waiting = len(stream.sent.acknowledged)
            with archive:
                begun = time.monotonic()
                wait_for(lambda: len(archive.received) > before)
                first = time.monotonic() - begun
                wait_until_settled(running, within_s=1800)
                every = time.monotonic() - begun
                deaths = [said for said in running.log() if said["event"] in ("crash", "process died")]
                status = running.stop()
                found = account(running, stream.sent, archive, folder)
        report = {
            "seconds away": given.seconds,
            "instances acknowledged": waiting,
            "results before": before,
            "seconds from its return to the first result": round(first, 1),
            "seconds from its return to the last result": round(every, 1),
            "deaths": deaths,
            "exit status": status,
            **asdict(found),
        }
        print(json.dumps(report, indent=1))
        sys.exit(bool(found.lost or found.doubled or found.wrong or deaths))


def wait_for(done: Callable[[], bool]) -> None:
    while not done():
        time.sleep(0.1)


if __name__ == "__main__":
    main()
