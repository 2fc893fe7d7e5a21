"""What the service leans on away, under a stream of studies: what the sender hears, what waits, what is lost.

    python benchmarks/service/away.py database --seconds 60
    python benchmarks/service/away.py pacs --seconds 3600 --pause 30

PostgreSQL is cut off, as by a power failure, and started again later: every process of the service must live
on and go on; the modality hears refusals meanwhile and sends again. Or the archive that gets the results is
shut down and started again on the same port, with the numbers of tries of a configuration that says nothing
of them. At the end the account is that of `kills.py`.
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
from typing import Any

HERE = Path(__file__).resolve().parent
for place in ("tests/service/processes", "tests/results/dicom", "tests/servers"):
    sys.path.insert(0, str(HERE.parents[1] / place))

import yaml  # noqa: E402
from postgres_server import PostgresServer  # noqa: E402
from whole_service import (  # noqa: E402
    Account,
    Archive,
    Running,
    Stream,
    account,
    configuration,
    made_bundle,
    wait_until_settled,
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("database", "pacs"))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between studies")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="away-") as temporary:
        folder = Path(temporary)
        (folder / "films").mkdir()
        told, found = (database_away if given.what == "database" else pacs_away)(
            folder, given.seconds, given.pause
        )
    print(json.dumps({"seconds away": given.seconds, **told, **asdict(found)}, indent=1))
    sys.exit(bool(found.lost or found.doubled or found.wrong or told["deaths"]))


def database_away(folder: Path, seconds: float, pause: float) -> tuple[dict[str, Any], Account]:
    with PostgresServer() as server, Archive() as archive:
        bundle = made_bundle(folder)
        with Running(configuration(folder, bundle, archive.port, database=server.new_url())) as running:
            stream = started(running, folder, pause)
            sent = stream.sent
            wait_for(lambda: len(sent.acknowledged) >= 5)
            server.stop()
            before, heard, log = len(sent.acknowledged), sent.refused.copy(), len(running.log())
            time.sleep(seconds)
            meanwhile, heard = len(sent.acknowledged) - before, sent.refused - heard
            server.start()
            begun, before = time.monotonic(), len(sent.acknowledged)
            wait_for(lambda: len(sent.acknowledged) > before)
            first = time.monotonic() - begun
            wait_for(lambda: len(sent.acknowledged) > before + 4)
            stream.enough()
            wait_until_settled(running, within_s=600)
            told = {
                "acknowledged while away": meanwhile,
                "heard while away": dict(heard),
                "seconds from its return to the first acknowledgement": round(first, 1),
            }
            return told | ended(running, log), account(running, sent, archive, folder)


def pacs_away(folder: Path, seconds: float, pause: float) -> tuple[dict[str, Any], Account]:
    archive = Archive()
    file = configuration(folder, made_bundle(folder), archive.port)
    settings = yaml.safe_load(file.read_text())
    del settings["tries"]
    file.write_text(yaml.safe_dump(settings))
    with Running(file) as running:
        with archive:
            stream = started(running, folder, pause)
            wait_for(lambda: len(archive.received) > 0)
        before, log = len(archive.received), len(running.log())
        time.sleep(seconds)
        stream.enough()
        with archive:
            begun = time.monotonic()
            wait_for(lambda: len(archive.received) > before)
            first = time.monotonic() - begun
            wait_until_settled(running, within_s=1800)
            told = {
                "instances acknowledged": len(stream.sent.acknowledged),
                "results before": before,
                "seconds from its return to the first result": round(first, 1),
                "seconds from its return to the last result": round(time.monotonic() - begun, 1),
            }
            return told | ended(running, log), account(running, stream.sent, archive, folder)


def started(running: Running, folder: Path, pause: float) -> Stream:
    stream = Stream(folder / "films", running.settings.receive.port, pause_s=pause, seed=1)
    stream.start()
    return stream


def ended(running: Running, log: int) -> dict[str, Any]:
    """Stops the service; its exit status, and who died since so many lines of its log."""
    deaths = [said for said in running.log()[log:] if said["event"] in ("crash", "process died")]
    return {"deaths": deaths, "exit status": running.stop()}


def wait_for(done: Callable[[], bool]) -> None:
    while not done():
        time.sleep(0.1)


if __name__ == "__main__":
    main()
