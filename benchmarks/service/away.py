"""The database away for a minute, under a stream of studies: what the sender hears, and what is lost.

    python benchmarks/service/away.py [--seconds 60]

PostgreSQL is cut off, as by a power failure, while studies are sent, and started again later. Every process
of the service must live on and go on; the modality hears refusals meanwhile and sends again. At the end the
account is that of `kills.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
for place in ("tests/service/processes", "tests/results/dicom", "tests/servers"):
    sys.path.insert(0, str(HERE.parents[1] / place))

from postgres_server import PostgresServer  # noqa: E402
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
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="away-") as temporary, PostgresServer() as server:
        folder = Path(temporary)
        bundle = made_bundle(folder)
        (folder / "films").mkdir()
        with (
            Archive() as archive,
            Running(configuration(folder, bundle, archive.port, database=server.new_url())) as running,
        ):
            stream = Stream(folder / "films", running.settings.receive.port, pause_s=0.5, seed=1)
            stream.start()
            wait_for(stream, 5)
            processes = {child.pid for child in running.children()}
            told = len(running.log())
            server.stop()
            before = len(stream.sent.acknowledged)
            heard = stream.sent.refused.copy()
            time.sleep(given.seconds)
            meanwhile = len(stream.sent.acknowledged) - before
            heard = stream.sent.refused - heard
            server.start()
            begun = time.monotonic()
            wait_for(stream, 1)
            first = time.monotonic() - begun
            wait_for(stream, 4)
            stream.enough()
            wait_until_settled(running, within_s=600)
            lived = processes <= {child.pid for child in running.children()}
            deaths = [said for said in running.log()[told:] if said["event"] in ("crash", "process died")]
            status = running.stop()
            found = account(running, stream.sent, archive, folder)
        report = {
            "acknowledged while away": meanwhile,
            "heard while away": dict(heard),
            "seconds from its return to the first acknowledgement": round(first, 1),
            "every process lived on": lived,
            "deaths": deaths,
            "exit status": status,
            **asdict(found),
        }
        print(json.dumps(report, indent=1))
        sys.exit(bool(found.lost or found.doubled or found.wrong or not lived))


def wait_for(stream: Stream, more: int) -> None:
    until = len(stream.sent.acknowledged) + more
    while len(stream.sent.acknowledged) < until:
        time.sleep(0.1)


if __name__ == "__main__":
    main()
