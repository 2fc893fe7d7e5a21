"""The whole service as a hospital has it: studies are sent to it, results arrive at an archive, and its
processes are killed meanwhile. Afterwards everything is counted."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import psutil
import pydicom
import yaml
from free_ports import free_port
from made_study import write_film
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, StoragePresentationContexts, evt
from sqlalchemy import func, select

import secondread
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.database import Database
from secondread.service.store.tables import Instance, Job, Reading, Result, Study, Worker

PARENT = "parent"
CHILDREN = ("sender", "keeper", "scorer", "page", "receiver")
BUNDLE = "spectrum"


def made_bundle(folder: Path) -> Path:
    manifest = secondread.make_phantoms(folder / "phantoms", seed=1, n_normal=40, n_abnormal=2, size=(48, 48))
    recipe = {
        "preprocessing": {"size": [32, 32]},
        "detector": {"name": "spectrum", "bands": 8},
        "cohorts": {"validation": 0.2, "calibration": 0.3},
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe))
    secondread.fit(str(file), manifest, folder / BUNDLE, workers=0, progress=False)
    return folder / BUNDLE


def configuration(folder: Path, bundle: Path, archive_port: int, **more: Any) -> Path:
    told = {
        "spool": "spool",
        "bundles": [{"name": BUNDLE, "bundle": str(bundle), "gate": {"on": False}}],
        "receive": {"port": free_port()},
        "page": {"port": free_port()},
        "complete": {"quiet_s": 2},
        "device": "cpu",
        "tries": 100,
        "send": {"dicom": [{"name": "pacs", "title": "PACS", "address": "127.0.0.1", "port": archive_port}]},
        **more,
    }
    file = folder / "service.yaml"
    file.write_text(yaml.safe_dump(told))
    return file


class Archive:
    """A storage SCP: what arrived, how often, and its content."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self.contents: dict[str, set[str]] = {}
        self._server: Any = None
        self.port = free_port()

    def __enter__(self) -> Archive:
        entity = AE("PACS")
        for context in StoragePresentationContexts:
            assert context.abstract_syntax is not None
            entity.add_supported_context(context.abstract_syntax)
        entity.add_supported_context("1.2.840.10008.1.1")
        self._server = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()

    def _store(self, event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        data = event.request.DataSet.getvalue()
        self.received[uid] += 1
        self.contents.setdefault(uid, set()).add(hashlib.sha256(data).hexdigest())
        return 0


@dataclass
class Sent:
    """Files of studies, and those of them that the service has acknowledged: instance UID -> file."""

    files: dict[str, Path] = field(default_factory=dict)
    acknowledged: dict[str, Path] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)


class Stream(threading.Thread):
    """A modality: sends one study after the other, each instance until it is acknowledged."""

    def __init__(self, folder: Path, port: int, *, pause_s: float, seed: int) -> None:
        super().__init__(daemon=True)
        self.sent = Sent()
        self._folder, self._port, self._pause_s = folder, port, pause_s
        self._random = random.Random(seed)
        self._enough = threading.Event()
        self._entity = AE("MODALITY")
        self._entity.acse_timeout = self._entity.dimse_timeout = self._entity.network_timeout = 30
        self._entity.connection_timeout = 5
        self._entity.add_requested_context(DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian)

    def enough(self) -> None:
        self._enough.set()
        self.join()

    def run(self) -> None:
        number = 0
        while not self._enough.is_set():
            study = generate_uid()[:60].rstrip(".")
            waiting = [self._film(study, number, image) for image in range(self._random.choice((1, 1, 2)))]
            while waiting:
                waiting = self._send(waiting)
            number += 1
            self._enough.wait(self._pause_s)

    def _film(self, study: str, number: int, image: int) -> tuple[str, Path]:
        uid = generate_uid()
        pixels = np.random.default_rng((number, image)).integers(500, 3000, (48, 40)).astype(np.uint16)
        path = self._folder / f"{number:04}-{image}.dcm"
        write_film(path, pixels, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1", SOPInstanceUID=uid)
        made = pydicom.dcmread(path)
        made.file_meta.MediaStorageSOPInstanceUID = uid
        made.save_as(path, enforce_file_format=True)
        self.sent.files[uid] = path
        return uid, path

    def _send(self, waiting: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
        """Those that are not acknowledged yet."""
        association = self._entity.associate("127.0.0.1", self._port, ae_title="SECONDREAD")
        if not association.is_established:
            time.sleep(0.2)
            return waiting
        left = []
        for uid, path in waiting:
            try:
                status = association.send_c_store(path).get("Status")
            except (RuntimeError, ValueError):  # the association broke off
                status = None
            if status == 0:
                self.sent.acknowledged[uid] = path
            else:
                self.sent.refused["no answer" if status is None else f"0x{status:04X}"] += 1
                left.append((uid, path))
        if association.is_established:
            association.release()
        else:
            association.abort()
        if left:
            time.sleep(0.2)
        return left


class Running:
    """The service in a process of its own, with its children; `killed` counts whom `kill -9` hit.

    options  of the command, besides its configuration
    """

    def __init__(self, config: Path, *options: str) -> None:
        self.config, self.options = config, options
        self.settings = ServiceSettings.load(config)
        self.killed: Counter[str] = Counter()
        self._process: subprocess.Popen[bytes] | None = None
        self._output = config.with_name("output.txt")

    def __enter__(self) -> Running:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def start(self) -> None:
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "secondread", "serve", str(self.config), *self.options],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def children(self, role: str = "") -> list[psutil.Process]:
        found = []
        for child in psutil.Process(self.pid).children():
            try:
                command = child.cmdline()
            except psutil.Error:
                continue
            if "secondread.service.processes.child" in command and role in ("", command[3]):
                found.append(child)
        return found

    def kill(self, role: str, chance: random.Random) -> bool:
        """Kill one process of a role, or the parent, which is started again; False where none lives."""
        assert self._process is not None
        if role == PARENT:
            family = psutil.Process(self.pid).children(recursive=True)
            self._process.kill()
            self._process.wait()
            self.killed[PARENT] += 1
            _, alive = psutil.wait_procs(family, timeout=60)
            assert alive == [], f"processes outlived their parent: {alive}"
            self.start()
            return True
        if role == "receiver" and chance.random() < 0.7:
            self._wait_for_receipt(chance)
        found = self.children(role)
        if not found:
            return False
        chance.choice(found).kill()
        self.killed[role] += 1
        return True

    def _wait_for_receipt(self, chance: random.Random) -> None:
        """Until an instance is being written: the kill is to hit between its bytes, its name and its row."""
        incoming, until = self.settings.spool / "incoming", time.monotonic() + 5
        while time.monotonic() < until:
            try:
                if any(incoming.iterdir()):
                    break
            except OSError:
                pass
            time.sleep(0.0005)
        time.sleep(chance.random() * 0.03)

    def stop(self, *, within_s: float = 60.0) -> int:
        """Gracefully; its exit status."""
        assert self._process is not None
        family = psutil.Process(self.pid).children(recursive=True)
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(within_s)
        _, alive = psutil.wait_procs(family, timeout=60)
        assert alive == [], f"processes outlived the service: {alive}"
        return status

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def log(self) -> list[dict[str, Any]]:
        lines = (self.settings.spool / "logs" / "service.log").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]


def settled(settings: ServiceSettings) -> bool:
    """Nothing is on its way any more."""
    database = Database(settings.database_url)
    try:
        with database.read() as session:
            moving = Study.state.in_(("receiving", "waiting", "reading"))
            studies = session.scalar(select(func.count()).where(moving))
            jobs = session.scalar(select(func.count()).where(Job.state.in_(("waiting", "running"))))
    finally:
        database.close()
    return studies == 0 and jobs == 0


def swept(log: list[dict[str, Any]]) -> bool:
    """Whether the spool was swept after the last process died."""
    events = [
        line["event"] for line in log if line["event"] in ("process died", "service started", "spool swept")
    ]
    return events[-1:] == ["spool swept"]


def wait_until_settled(running: Running, *, within_s: float) -> None:
    until = time.monotonic() + within_s
    while not (settled(running.settings) and swept(running.log())):
        if time.monotonic() > until:
            raise AssertionError(f"not settled after {within_s:g} s\n{running.output()[-3000:]}")
        time.sleep(0.5)


@dataclass(frozen=True)
class Account:
    """What became of everything that was acknowledged. Each tuple names what should not be."""

    studies: int
    instances: int
    results: int
    sent_again: int
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    wrong: tuple[str, ...]


def account(running: Running, sent: Sent, archive: Archive, folder: Path) -> Account:
    """Compare the service's tables, its spool and the archive with what was sent, and with `score` on its
    files."""
    lost, doubled, wrong = [], [], []
    spool, database = Spool(running.settings.spool), Database(running.settings.database_url)
    with database.read() as session:
        instances = {row.sop_instance_uid: row for row in session.scalars(select(Instance))}
        studies = {row.id: row for row in session.scalars(select(Study))}
        readings = list(session.scalars(select(Reading).order_by(Reading.id)))
        results = list(session.scalars(select(Result)))
        aside = list(session.scalars(select(Job).where(Job.state != "done")))
        workers = session.scalars(select(Worker.id)).all()
    database.close()
    for uid, path in sent.acknowledged.items():
        row = instances.get(uid)
        if row is None or not spool.path_of(row.path).is_file():
            lost.append(f"instance {path.name}")
            continue
        data = spool.path_of(row.path).read_bytes()
        if hashlib.sha256(data).hexdigest() != row.digest or pixels_of(data) != pixels_of(path.read_bytes()):
            wrong.append(f"bytes of {path.name}")
    lost += [f"job {job.kind} {job.key}: {job.state} {job.reason}" for job in aside]
    files = [path for path in spool.instances.rglob("*") if path.is_file()]
    doubled += [f"{len(files)} files for {len(instances)} rows"] if len(files) != len(instances) else []
    newest: dict[int, Reading] = {}
    for reading in readings:
        newest[reading.study_id] = reading
    lost += [f"study {row.id}: {row.state} {row.reason}" for row in studies.values() if row.id not in newest]
    scores = scores_of_files(running.settings.bundles[0].bundle, sent.acknowledged, folder)
    for reading in newest.values():
        study = studies[reading.study_id]
        told = {image["instance"]: image["score"] for image in reading.images}
        held = {uid for uid, row in instances.items() if row.study_id == study.id}
        if reading.revision != study.revision or set(told) != held:
            lost.append(f"study {study.id}: its newest revision was not read")
        wrong += [
            f"score of {sent.files[uid].name}: {told[uid]} and {scores[uid]}"
            for uid in told.keys() & scores.keys()
            if told[uid] != scores[uid]
        ]
        if study.score != max(told.values()):
            wrong.append(f"study {study.id} shows another score")
    known = {row.sop_instance_uid for row in results}
    lost += [f"result {uid[-12:]} is not in the archive" for uid in known - archive.received.keys()]
    changed = [uid for uid, contents in archive.contents.items() if len(contents) > 1]
    once = {study.id for study in studies.values() if study.instances == 1}
    for row in results:
        reading = next(one for one in readings if one.id == row.reading_id)
        if reading.study_id in once and row.sop_instance_uid in changed:
            wrong.append(f"result {row.sop_instance_uid[-12:]} arrived with two contents")
    if all(study.revision == 1 for study in studies.values()):
        doubled += [f"result {uid[-12:]} is nobody's" for uid in archive.received.keys() - known]
    doubled += [f"worker {worker}" for worker in workers]
    return Account(
        studies=len(studies), instances=len(instances), results=len(known),
        sent_again=sum(archive.received.values()) - len(archive.received),
        lost=tuple(lost), doubled=tuple(doubled), wrong=tuple(wrong),
    )  # fmt: skip


def pixels_of(data: bytes) -> bytes:
    from io import BytesIO

    return bytes(pydicom.dcmread(BytesIO(data)).PixelData)


def scores_of_files(bundle: Path, files: dict[str, Path], folder: Path) -> dict[str, float | None]:
    """Instance UID -> what `score` says of its file."""
    readings = secondread.score(bundle, sorted(files.values()), folder / "scored", workers=0)
    by_name = {Path(row.path).name: row.score for row in readings.rows}
    return {uid: by_name[path.name] for uid, path in files.items()}


def roles_drawn(number: int, chance: random.Random, roles: Sequence[str]) -> list[str]:
    """Whom to kill, each role as often as any other."""
    drawn = [roles[place % len(roles)] for place in range(number)]
    chance.shuffle(drawn)
    return drawn
