"""A thousand associations at once, and one instance of 4 GB: what the receiver answers and what it costs.

python benchmarks/service/receiver_limits.py --connections 1000 --gigabytes 4
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import selectors
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path

from receive import Process, processor, service


def request_bytes() -> bytes:
    """An A-ASSOCIATE-RQ as pynetdicom sends it."""
    from pynetdicom import AE, build_context

    with socket.create_server(("127.0.0.1", 0)) as listening:
        entity = AE("BENCHSCU")
        entity.acse_timeout = 1
        asking = threading.Thread(
            target=entity.associate,
            args=("127.0.0.1", listening.getsockname()[1]),
            kwargs={"contexts": [build_context("1.2.840.10008.1.1")], "ae_title": "BENCH"},
        )
        asking.start()
        accepted, _ = listening.accept()
        found = accepted.recv(65536)
        accepted.close()
        asking.join()
    return found


def callers(port: int, connections: int) -> dict[str, int]:
    """How many were answered how: all connect and ask before any answer is read."""
    asked = request_bytes()
    selector = selectors.DefaultSelector()
    held = []
    for _ in range(connections):
        caller = socket.create_connection(("127.0.0.1", port))
        caller.sendall(asked)
        selector.register(caller, selectors.EVENT_READ)
        held.append(caller)
    answers: collections.Counter[str] = collections.Counter()
    end = time.monotonic() + 60
    while answers.total() < connections and time.monotonic() < end:
        for key, _ in selector.select(1.0):
            found = key.fileobj.recv(65536)  # type: ignore[union-attr]
            kind = {b"\x02": "accepted", b"\x03": f"rejected {tuple(found[7:10])}"}.get(found[:1], "cut off")
            answers[kind] += 1
            selector.unregister(key.fileobj)
    answers["no answer"] = connections - answers.total()
    for caller in held:
        caller.close()
    return dict(answers)


def large(port: int, folder: Path, gigabytes: float) -> dict[str, object]:
    """One instance from a sparse file, sent in pieces."""
    import pydicom
    from pynetdicom import AE, _config, build_context

    size = int(gigabytes * 10**9)
    made = pydicom.Dataset()
    made.SOPClassUID, made.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7.2", "1.2.826.1.1"
    made.StudyInstanceUID, made.SeriesInstanceUID, made.Modality = "1.2.826.1.2", "1.2.826.1.3", "OT"
    made.Rows, made.Columns, made.NumberOfFrames = 1000, 1000, size // 10**6
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit = 7
    made.PixelRepresentation = 0
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    path = folder / "large.dcm"
    pydicom.dcmwrite(path, made, enforce_file_format=True)
    with path.open("ab") as file:
        file.write(b"\xe0\x7f\x10\x00OB\x00\x00" + size.to_bytes(4, "little"))
        file.truncate(file.tell() + size)
    _config.STORE_SEND_CHUNKED_DATASET = True
    entity = AE("BENCHSCU")
    entity.dimse_timeout = entity.network_timeout = 600
    contexts = [build_context(made.SOPClassUID, pydicom.uid.ExplicitVRLittleEndian)]
    association = entity.associate("127.0.0.1", port, contexts=contexts, ae_title="BENCH")
    begun = time.monotonic()
    status = association.send_c_store(path).Status
    seconds = time.monotonic() - begun
    association.release()
    path.unlink()
    return {
        "status": f"{status:04X}",
        "seconds": round(seconds),
        "MB per second": round(size / seconds / 1e6),
    }


def highest(part: Process) -> int:
    """Resident, in MiB, at most so far."""
    status = Path(f"/proc/{part.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) // 1024


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--connections", type=int, default=1000)
    asked.add_argument("--gigabytes", type=float, default=4.0)
    options = asked.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        part = Process(service, folder / "spool")
        told: dict[str, object] = {"processor": processor(), "MiB before": highest(part)}
        for turn in ("first", "second"):
            told[f"{options.connections} at once, {turn}"] = callers(part.port, options.connections)
            told[f"MiB after the {turn}"] = highest(part)
            time.sleep(3)
        told[f"{options.gigabytes:g} GB"] = large(part.port, folder, options.gigabytes)
        told["MiB after the large one"] = highest(part)
        told["instances kept"] = part.end()
        print(json.dumps(told, indent=1))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
