"""One study of many slices: how long it takes, what becomes of it, and the memory of every process meanwhile.

    python benchmarks/service/large_study.py --slices 1000 --series 8

Slices of 512 × 512 pixels of 16 bits, half a megabyte each, are sent by pynetdicom in one association to the
whole service, whose bundle reads volumes. The least of what a process holds is that at the time when the
service was healthy, before the first slice.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
for place in ("tests/service/processes", "tests/results/dicom", "tests/servers"):
    sys.path.insert(0, str(HERE.parents[1] / place))

import numpy as np  # noqa: E402
import psutil  # noqa: E402
import yaml  # noqa: E402
from made_study import header  # noqa: E402
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian  # noqa: E402
from pynetdicom import AE  # noqa: E402
from sqlalchemy import select  # noqa: E402
from whole_service import Archive, Running, configuration, wait_until_settled  # noqa: E402

import secondread  # noqa: E402
from secondread.service.store.database import Database  # noqa: E402
from secondread.service.store.tables import Reading, Study  # noqa: E402

ROOT = "1.2.826.0.1.3680043.8.498.77"
MIB = 2**20
MOST_REFUSALS = 20


class Memory(threading.Thread):
    """The largest resident memory of each role, and of the processes that decode, looked at each second."""

    def __init__(self, running: Running) -> None:
        super().__init__(daemon=True)
        self.largest: dict[str, int] = {}
        self._running, self._enough = running, threading.Event()

    def run(self) -> None:
        while not self._enough.wait(1.0):
            for role, held in self.now().items():
                self.largest[role] = max(self.largest.get(role, 0), held)

    def now(self) -> dict[str, int]:
        found: dict[str, int] = {}
        try:
            family = psutil.Process(self._running.pid).children(recursive=True)
        except psutil.NoSuchProcess:  # it is at its end
            return found
        for process in family:
            try:
                command, held = process.cmdline(), process.memory_info().rss // MIB
            except psutil.Error:
                continue
            role = command[3] if "secondread.service.processes.child" in command else "decoding"
            found[role] = max(found.get(role, 0), held)
        return found

    def end(self) -> dict[str, int]:
        self._enough.set()
        self.join()
        return self.largest


def made_bundle(folder: Path) -> Path:
    manifest = secondread.make_phantoms(
        folder / "heads", seed=2, rank=3, n_normal=16, n_abnormal=2, size=(16, 16, 16)
    )
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        yaml.safe_dump(
            {
                "preprocessing": {"size": [16, 16, 16]},
                "detector": {"name": "spectrum", "bands": 4},
                "cohorts": {"validation": 0.2, "calibration": 0.3},
            }
        )
    )
    secondread.fit(str(recipe), manifest, folder / "heads-bundle", workers=0, progress=False)
    return folder / "heads-bundle"


def send(port: int, series: int, slices: int) -> tuple[int, list[str], float]:
    """How many were acknowledged, what else was heard, and how many seconds it took. What is not acknowledged
    is sent again over a new association, as modalities do."""
    pixels = np.random.default_rng(1).integers(0, 2000, (512, 512)).astype(np.int16)
    made = header(CTImageStorage, "CT", pixels)
    made.StudyInstanceUID = f"{ROOT}.1"
    made.PixelSpacing, made.SliceThickness, made.ImageOrientationPatient = [0.7, 0.7], 0.5, [1, 0, 0, 0, 1, 0]
    made.FrameOfReferenceUID = f"{ROOT}.2"
    made.PixelData = pixels.tobytes()
    entity = AE("MODALITY")
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    entity.dimse_timeout = entity.network_timeout = 60
    association = entity.associate("127.0.0.1", port, ae_title="SECONDREAD")
    acknowledged, begun, heard = 0, time.monotonic(), list[str]()
    for of_series in range(series):
        for number in range(slices):
            made.SeriesInstanceUID, made.SeriesNumber = f"{ROOT}.3.{of_series}", of_series + 1
            made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.4.{of_series}.{number}"
            made.InstanceNumber, made.ImagePositionPatient = number + 1, [0, 0, 0.5 * number]
            while (status := association.send_c_store(made).get("Status")) != 0:
                after = time.monotonic() - begun
                heard.append(f"{of_series}.{number}: {status} after {after:.0f} s")
                if len(heard) > MOST_REFUSALS:
                    raise SystemExit("\n".join(heard))
                time.sleep(1.0)
                if not association.is_established:
                    association = entity.associate("127.0.0.1", port, ae_title="SECONDREAD")
            acknowledged += 1
    association.release()
    return acknowledged, heard, time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=1000, help="of each series")
    parser.add_argument("--series", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="large-study-") as temporary, Archive() as archive:
        folder = Path(temporary)
        bundles = [{"name": "heads", "bundle": str(made_bundle(folder)), "gate": {"on": False}}]
        file = configuration(folder, made_bundle(folder), archive.port, bundles=bundles, tries=3)
        with Running(file) as running:
            while len(running.children()) < 5 or "worklist is at" not in running.output():
                time.sleep(0.5)
            time.sleep(10)
            memory = Memory(running)
            before = memory.now()
            memory.start()
            acknowledged, heard, seconds = send(running.settings.receive.port, given.series, given.slices)
            begun = time.monotonic()
            wait_until_settled(running, within_s=3600)
            read = time.monotonic() - begun
            largest = memory.end()
            warnings = [said for said in running.log() if said.get("level", "info").lower() != "info"]
            database = Database(running.settings.database_url)
            with database.read() as session:
                studies = [(row.state, row.reason) for row in session.scalars(select(Study))]
                readings = [(row.p_value, len(row.images)) for row in session.scalars(select(Reading))]
            database.close()
            told = {
                "gigabytes": round(given.series * given.slices * 512 * 512 * 2 / 1e9, 2),
                "acknowledged": acknowledged, "else": heard, "warnings": warnings,
                "seconds to send": round(seconds),
                "seconds from the last slice to the end of all work": round(read),
                "MiB before": before, "MiB at most": largest, "studies": studies, "readings": readings,
                "results": len(archive.received), "exit status": running.stop(),
            }  # fmt: skip
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
