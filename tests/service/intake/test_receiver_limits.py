"""The receiver at its limits: a disk that is full, many associations, a large instance, its process."""

from __future__ import annotations

import selectors
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from intake_instances import film
from receiving import caller, receiving, send
from sqlalchemy import select

from secondread.service.intake.receiver import more_descriptors, run_receiver
from secondread.service.settings.receiving import ReceivingSettings
from secondread.service.store.database import Database
from secondread.service.store.tables import Instance, Refusal, Table

HERE = Path(__file__).parent
REQUEST = b"\x01\x00\x00\x00\x00\x44" + b"\x00\x01\x00\x00" + b"A" * 16 + b"B" * 16 + bytes(32)
"""An A-ASSOCIATE-RQ as far as a refusal reads it."""
ON_A_SMALL_DISK = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from intake_instances import film
from receiving import receiving, send
from secondread.service.settings.bundles import BundleSettings
from secondread.service.settings.service import ServiceSettings
folder = Path(sys.argv[1])
settings = ServiceSettings(spool=folder, bundles=(BundleSettings(name="none", bundle=folder),))
large = film(PixelData=bytes(5_000_000), Rows=2000, Columns=1250)
with receiving(settings) as receiver:
    print(*send(receiver, film(), large, film()))
print(*[path.name for path in (folder / "incoming").iterdir()])
"""


def test_a_disk_that_runs_full_while_an_instance_comes_is_out_of_resources(tmp_path):
    """A file system of four megabytes, in a name space of its own."""
    command = (
        f"mount -t tmpfs -o size=4m tmpfs {tmp_path} && exec {sys.executable} -c '{ON_A_SMALL_DISK}' "
        f"{tmp_path} {HERE} {HERE.parents[1] / 'results' / 'dicom'}"
    )
    unshare = ["unshare", "--map-root-user", "--mount"]
    if (
        not shutil.which("unshare")
        or subprocess.run(
            [*unshare, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], capture_output=True
        ).returncode
    ):
        pytest.skip("this system lets nobody mount a small file system (unshare --mount)")
    done = subprocess.run([*unshare, "sh", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.stdout.split("\n")[:2] == [f"0 {0xA700} 0", ""], done.stderr


def test_three_hundred_at_once_are_served_or_refused_by_the_book(settings):
    """A short form of `benchmarks/service/associations.py`."""
    more_descriptors()
    with receiving(settings, associations=12) as receiver:
        held = [caller(receiver) for _ in range(12)]
        threads = threading.active_count()
        selector = selectors.DefaultSelector()
        for _ in range(300):
            asking = socket.create_connection(("127.0.0.1", receiver.port))
            asking.sendall(REQUEST)
            selector.register(asking, selectors.EVENT_READ)
        answers = []
        end = time.monotonic() + 60
        while len(answers) < 300 and time.monotonic() < end:
            for key, _ in selector.select(1.0):
                answers.append(key.fileobj.recv(100))
                selector.unregister(key.fileobj)
                key.fileobj.close()
        assert set(answers) == {b"\x03\x00\x00\x00\x00\x04\x00\x02\x03\x02"}
        assert len(answers) == 300
        database = Database(settings.database_url)
        receiver.refusals.write(database)
        with database.read() as session:
            assert [(one.what, one.count) for one in session.scalars(select(Refusal))] == [
                ("association beyond the limit", 300)
            ]
        database.close()
        assert threading.active_count() <= threads + 1
        assert [one.send_c_echo().Status for one in held] == [0] * 12
        for one in held:
            one.release()


def test_its_process_receives_until_it_is_told_to_stop(settings, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = settings.model_copy(update={"receive": ReceivingSettings(port=port, free_gb=0.0)})
    settings.spool.mkdir()
    database = Database(settings.database_url)
    Table.metadata.create_all(database.engine)
    stop = threading.Event()
    process = threading.Thread(target=run_receiver, args=(settings, stop))
    process.start()
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.02)

        class Running:
            """Where it listens."""

        Running.port = port
        assert send(Running, film()) == [0]
    finally:
        stop.set()
        process.join(20)
    assert not process.is_alive()
    with database.read() as session:
        assert session.query(Instance).count() == 1
    database.close()
