"""The service's processes killed at random moments under a stream of studies: what is lost, doubled or wrong.

    python benchmarks/service/kills.py [--kills 200] [--seed 0] [--pause 1.0] [--migrations 40] [--postgres]
        [--minutes 120]

A modality (pynetdicom) sends studies of one or two films, each until it is acknowledged; the service
receives, reads and sends results to an archive; one of its processes after the other is killed with `kill
-9`, every role as often as any other, the parent among them, which is then started again. Most kills of the
receiver wait until an instance is being written, so that they fall between its bytes, its name and its row.
At the end everything must be there once: each acknowledged instance with its bytes, each study read in its
newest revision with the score that `secondread score` gives of its files, each result in the archive, no
file without a row, no process left.

Then processes that migrate a database are killed: it must be empty or whole, and migrate at the next start.

Phantoms and a small detector: the figures say that nothing is lost, and nothing about patients or speed.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
for place in ("tests/service/processes", "tests/results/dicom", "tests/servers"):
    sys.path.insert(0, str(HERE.parents[1] / place))

from postgres_server import PostgresServer  # noqa: E402
from whole_service import (  # noqa: E402
    CHILDREN,
    PARENT,
    Archive,
    Running,
    Stream,
    account,
    configuration,
    made_bundle,
    roles_drawn,
    wait_until_settled,
)

MIGRATE = """
import sys
from secondread.service.store.database import Database
from secondread.service.store.migrate import migrate
database = Database(sys.argv[1])
print("ready", flush=True)
migrate(database)
print("done", flush=True)
"""


def kill_service(
    folder: Path, kills: int, pause_s: float, chance: random.Random, *, postgres: bool, minutes: float
) -> dict[str, object]:
    bundle = made_bundle(folder)
    (folder / "films").mkdir()
    begun = time.monotonic()
    with Archive() as archive, ExitStack() as stack:
        url = stack.enter_context(PostgresServer()).new_url() if postgres else ""
        config = configuration(folder, bundle, archive.port, scorers=2, database=url)
        with Running(config) as running:
            stream = Stream(folder / "films", running.settings.receive.port, pause_s=pause_s, seed=1)
            stream.start()
            for role in roles_drawn(kills, chance, (*CHILDREN, PARENT)):
                if time.monotonic() - begun > 60 * minutes:
                    break
                before, until = len(stream.sent.acknowledged), time.monotonic() + 120
                while len(stream.sent.acknowledged) == before and time.monotonic() < until:
                    time.sleep(0.05)  # whoever is killed has begun to work
                time.sleep(chance.uniform(0, 2.0))
                while not running.kill(role, chance) and time.monotonic() < until:
                    time.sleep(0.2)
                total = sum(running.killed.values())
                if total % 10 == 0:
                    at = time.monotonic() - begun
                    sent = len(stream.sent.acknowledged)
                    print(f"{total} kills, {sent} instances, {at:.0f} s", file=sys.stderr, flush=True)
            stream.enough()
            wait_until_settled(running, within_s=1800)
            status = running.stop()
            found = account(running, stream.sent, archive, folder)
            return {
                "kills": dict(running.killed),
                "seconds": round(time.monotonic() - begun, 1),
                "refused": dict(stream.sent.refused),
                "exit status": status,
                **asdict(found),
            }


def kill_migrations(folder: Path, kills: int, chance: random.Random) -> dict[str, int]:
    """How often the kill came before, or after, the commit, and how often the tables were neither."""
    from secondread.errors import UserError
    from secondread.service.store.database import Database
    from secondread.service.store.migrate import check_version, migrate

    found = {"before": 0, "after": 0, "neither": 0}
    usual = 0.0
    for number in range(kills + 1):
        url = f"sqlite:///{folder / f'migrated-{number}.sqlite'}"
        process = subprocess.Popen([sys.executable, "-c", MIGRATE, url], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        if number == 0:  # undisturbed
            begun = time.monotonic()
            process.stdout.readline()
            usual = time.monotonic() - begun
            continue
        time.sleep(chance.uniform(0, 1.2 * usual))
        process.kill()
        process.wait()
        database = Database(url)
        try:
            check_version(database)
            found["after"] += 1
        except UserError as error:
            found["before" if "revision none" in str(error) else "neither"] += 1
        migrate(database)
        check_version(database)
        database.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--migrations", type=int, default=40)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between studies")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgres", action="store_true", help="in place of SQLite")
    parser.add_argument("--minutes", type=float, default=120.0, help="no kill after so long")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="a new folder for everything, to look into")
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="kills-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        report: dict[str, object] = {"migrations": kill_migrations(folder, given.migrations, chance)}
        print(json.dumps(report), flush=True)
        report |= kill_service(
            folder, given.kills, given.pause, chance, postgres=given.postgres, minutes=given.minutes
        )
    text = json.dumps(report, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text)
    faults = [len(report[name]) for name in ("lost", "doubled", "wrong")]  # type: ignore[arg-type]
    sys.exit(any(faults))


if __name__ == "__main__":
    main()
