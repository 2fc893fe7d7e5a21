"""How fast the receiver takes images, beside a bare pynetdicom SCP that writes and syncs each, in turns.

    python benchmarks/service/receive.py --images 10000 --associations 8

Both run as processes of their own on this machine and get the same small images from dcmtk's storescu, in
alternating rounds, so that whatever else the machine does meets both. The bare SCP has pynetdicom's defaults
(with its logging off as well), writes each object into one folder under a new name, and calls fsync on the
file; it reads no header, has no database and syncs no folder.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

STORESCU = "/usr/bin/storescu"
ROOT = "1.2.826.0.1.3680043.8.498.1"
DIGITS = 12


def images(folder: Path, count: int, first: int, per_study: int) -> Path:
    """Files of 64 x 64 pixels, `per_study` of a study."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    def uid(kind: int, number: int) -> str:
        return f"{ROOT}.1{kind}{number:0{DIGITS}}"

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid(1, 0)
    made = FileDataset("made", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, uid(1, 0)
    made.StudyInstanceUID, made.SeriesInstanceUID = uid(2, 0), uid(3, 0)
    made.PatientName, made.PatientID, made.PatientBirthDate, made.PatientSex = "A^B", "C", "19500101", "M"
    made.StudyDate, made.StudyTime, made.AccessionNumber, made.Modality = "20240501", "101112", "D", "DX"
    made.Manufacturer, made.ManufacturerModelName, made.StationName = "Maker", "Model", "Room"
    made.BodyPartExamined, made.ViewPosition, made.SeriesNumber, made.InstanceNumber = "CHEST", "PA", 1, 1
    made.Rows = made.Columns = 64
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation = 15, 0
    made.PixelData = np.random.default_rng(1).integers(0, 4096, (64, 64)).astype("<u2").tobytes()
    folder.mkdir(parents=True)
    pydicom.dcmwrite(folder / "first", made, enforce_file_format=True)
    data = (folder / "first").read_bytes()
    (folder / "first").unlink()
    for number in range(first, first + count):
        study = number // per_study
        found = data
        for kind, value in ((1, number), (2, study), (3, study)):
            found = found.replace(uid(kind, 0).encode(), uid(kind, value).encode())
        (folder / f"{number}.dcm").write_bytes(found)
    return folder


def bare(folder: Path, said: Any, pdu: int) -> None:
    from pynetdicom import AE, AllStoragePresentationContexts, _config, evt

    _config.LOG_HANDLER_LEVEL = "none"

    def store(event: evt.Event) -> int:
        with open(folder / str(event.request.AffectedSOPInstanceUID), "wb") as file:
            file.write(event.encoded_dataset())
            file.flush()
            os.fsync(file.fileno())
        return 0

    entity = AE("BENCH")
    entity.supported_contexts = AllStoragePresentationContexts
    entity.maximum_associations = 1000
    entity.maximum_pdu_size = pdu
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    said.send(server.server_address[1])
    said.recv()
    os._exit(0)


def service(folder: Path, said: Any) -> None:
    from secondread.service.intake.receiver import Receiver
    from secondread.service.settings.bundles import BundleSettings
    from secondread.service.settings.receiving import ReceivingSettings
    from secondread.service.settings.service import ServiceSettings
    from secondread.service.spool.files import Spool
    from secondread.service.store.database import Database
    from secondread.service.store.tables import Instance, Table

    settings = ServiceSettings(
        spool=folder,
        bundles=(BundleSettings(name="none", bundle=folder),),
        receive=ReceivingSettings(port=0, title="BENCH"),
    )
    spool, database = Spool(folder), Database(settings.database_url)
    Table.metadata.create_all(database.engine)
    with Receiver(settings, database, spool, "benchmark") as receiver:
        said.send(receiver.port)
        said.recv()
    with database.read() as session:
        said.send(session.query(Instance).count())
    os._exit(0)


class Process:
    """One of the two, with its memory looked at."""

    def __init__(self, target: Any, *arguments: Any) -> None:
        self.said, other = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(
            target=target, args=(arguments[0], other, *arguments[1:])
        )
        self.process.start()
        self.port = self.said.recv()

    def memory(self) -> float:
        """Resident, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024

    def seconds_of_processor(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> Any:
        self.said.send("end")
        try:
            found = self.said.recv() if self.said.poll(60) else None
        except EOFError:
            found = None
        self.process.join(60)
        return found


def send(folders: list[Path], port: int) -> float:
    """Seconds until every file of every folder was acknowledged, one association each."""
    begun = time.monotonic()
    senders = [
        subprocess.Popen([STORESCU, "-aec", "BENCH", "+sd", "127.0.0.1", str(port), str(folder)])
        for folder in folders
    ]
    statuses = [sender.wait() for sender in senders]
    if any(statuses):
        raise SystemExit(f"a sender failed: {statuses}")
    return time.monotonic() - begun


def processor() -> str:
    found = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return f"{found[0] if found else platform.processor()}, {os.cpu_count()} cores"


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--images", type=int, default=10_000)
    asked.add_argument("--associations", type=int, default=8)
    asked.add_argument("--rounds", type=int, default=10)
    asked.add_argument("--per-study", type=int, default=4)
    asked.add_argument("--pdu", type=int, default=16_382, help="of the bare SCP; 16382 is its default")
    asked.add_argument("--folder", type=Path, default=None)
    options = asked.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    each = options.images // options.rounds // options.associations
    try:
        (folder / "bare").mkdir()
        parts = {
            "bare": Process(bare, folder / "bare", options.pdu),
            "service": Process(service, folder / "spool"),
        }
        seconds = {"bare": 0.0, "service": 0.0}
        first, memory = 0, [parts["service"].memory()]
        for round_ in range(options.rounds):
            sent = []
            for _ in range(options.associations):
                sent.append(images(folder / "sent" / str(len(sent)), each, first, options.per_study))
                first += each
            for name in ("bare", "service") if round_ % 2 else ("service", "bare"):
                seconds[name] += send(sent, parts[name].port)
            shutil.rmtree(folder / "sent")
            memory.append(parts["service"].memory())
            rates = {
                name: (round_ + 1) * each * options.associations / found for name, found in seconds.items()
            }
            print(
                json.dumps(
                    {
                        "round": round_ + 1,
                        **{n: round(r, 1) for n, r in rates.items()},
                        "MiB": round(memory[-1]),
                    }
                )
            )
        total = options.rounds * each * options.associations
        used = {name: part.seconds_of_processor() / total * 1000 for name, part in parts.items()}
        parts["bare"].end()
        kept = parts["service"].end()
        print(
            json.dumps(
                {
                    "processor": processor(),
                    "images": total,
                    "kept by the service": kept,
                    "kept by the bare one": len(list((folder / "bare").iterdir())),
                    "associations": options.associations,
                    "bare per second": round(total / seconds["bare"], 1),
                    "service per second": round(total / seconds["service"], 1),
                    "ratio": round(seconds["bare"] / seconds["service"], 3),
                    "processor ms per image": {name: round(found, 2) for name, found in used.items()},
                    "MiB after each round": [round(found) for found in memory],
                }
            )
        )
    finally:
        for part in multiprocessing.active_children():
            part.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
