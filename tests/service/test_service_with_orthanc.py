"""The whole service beside a real archive: studies are sent to it as a modality sends them, results come back
by C-STORE and STOW-RS, and say what `score` says of the same files."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
import valid_studies
import yaml
from archive import Archive
from free_ports import free_port
from pydicom import Dataset
from result_checks import kind_of, numbers, references
from scored_studies import brightness_bundle
from sqlalchemy import select
from whole_service import Running, settled

from secondread.bundles.bundle import Bundle
from secondread.errors import DataError, UserError
from secondread.readings.score import score
from secondread.service.store.database import Database
from secondread.service.store.tables import Alarm, Job, Reading, Result, Study

REAL = (
    "dicom-series/Study1_13_HCropVolume",
    "dicom-series/Study3_11-T1post-18670",
    "dicom-series/Study3_36468-FLAIRreg-58706",
    "dicom-series/ct_ge_hispeed",
    "dicom-zoo/fo-dicom/Tests__FO-DICOM.Tests__Test_Data__mr_brucker.dcm",
    "dicom-zoo/pydicom-data/data_store__data__RG3_J2KI.dcm",
    "dicom-zoo/pydicom/src__pydicom__data__test_files__JPEG2000.dcm",
)
"""All series; an enhanced MR, a CR in JPEG 2000 and an NM of the zoo."""
PICTURES, VOLUMES = ("CR", "DX", "NM"), ("CT", "MR")


@dataclass
class Beside:
    """A service that runs beside an archive, and the bundles that it reads with, by modality."""

    running: Running
    archive: Archive
    bundles: dict[tuple[str, ...], Bundle]

    @property
    def receiver(self) -> Archive:
        """The service as a modality sees it."""
        port = self.running.settings.receive.port
        return Archive(SimpleNamespace(dicom_port=port, title="SECONDREAD", url=""))  # type: ignore[arg-type]

    def settle(self, studies: set[str]) -> None:
        end = time.monotonic() + 240
        while not (studies <= set(self.rows(Study.study_uid)) and settled(self.running.settings)):
            assert time.monotonic() < end, [self.running.output(), self.rows(Job.kind, Job.state, Job.reason)]
            time.sleep(0.2)
        assert set(self.rows(Study.state)) <= {"read", "not read"}
        assert set(self.rows(Job.state, Job.reason)) == {("done", "")}

    def rows(self, *columns: Any) -> list[Any]:
        database = Database(self.running.settings.database_url)
        try:
            with database.read() as session:
                found = session.execute(select(*columns)).all()
        finally:
            database.close()
        return [row[0] if len(columns) == 1 else tuple(row) for row in found]

    def until_it_listens(self) -> None:
        end = time.monotonic() + 240
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.running.settings.receive.port)).close()
                return
            except OSError:
                assert time.monotonic() < end, self.running.output()
                time.sleep(0.2)

    def results_of(self, study: str) -> list[Dataset]:
        """What the service says that it made of a study, fetched from the archive by DICOMweb."""
        database = Database(self.running.settings.database_url)
        try:
            with database.read() as session:
                made = session.scalars(
                    select(Result.sop_instance_uid)
                    .join(Reading, Result.reading_id == Reading.id)
                    .join(Study, Reading.study_id == Study.id)
                    .where(Study.study_uid == study)
                ).all()
        finally:
            database.close()
        series = {one["0020000E"]["Value"][0]: one for one in self.archive.web.search_for_series(study)}
        held = {
            one["00080018"]["Value"][0]: one["0020000E"]["Value"][0]
            for uid in series
            for one in self.archive.web.search_for_instances(study, uid)
        }
        return [self.archive.fetch(study, held[uid], uid) for uid in made]

    def check(self, files: list[Path]) -> list[str]:
        """Of one study: the results' kinds, whose numbers and references are right; none where `score` reads
        nothing of its files."""
        headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
        study = str(headers[0].StudyInstanceUID)
        sources = {str(one.SOPInstanceUID): str(one.SOPClassUID) for one in headers}
        results, expected = self.results_of(study), self.expected(files)
        if not expected:
            assert results == []
            assert (study, "not read") in self.rows(Study.study_uid, Study.state)
            return []
        of_study = sources | {str(one.SOPInstanceUID): str(one.SOPClassUID) for one in results}
        for result in results:
            named = references(result)
            assert named.keys() & sources.keys(), f"{kind_of(result)} names no image of its study"
            assert {uid: of_study.get(uid) for uid in named} == named, kind_of(result)
        assert set(of_study.items()) <= set(self.archive.instances(study).items())
        (report,) = (one for one in results if kind_of(one) == "SR")
        said = [(one["score"], one.get("p-value")) for one in numbers(report).values() if "score" in one]
        assert sorted(said, key=str) == sorted(expected, key=str)
        return sorted(kind_of(one) for one in results)

    def expected(self, files: list[Path]) -> list[tuple[float, float | None]]:
        """Score and p-value of each image, as `secondread score` has them of the files; of volumes it gets
        their folders."""
        found: list[tuple[float, float | None]] = []
        for modalities, bundle in self.bundles.items():
            mine = [
                file
                for file in files
                if str(pydicom.dcmread(file, specific_tags=["Modality"]).Modality) in modalities
            ]
            whole = {file.parent for file in mine if set(file.parent.iterdir()) <= set(mine)}
            given = sorted(str(one) for one in {*whole, *(file for file in mine if file.parent not in whole)})
            if given:
                with contextlib.suppress(DataError, UserError):  # where it finds no image to read
                    found += [(row.score, row.p_value) for row in score(bundle, given, workers=0)]
        return found


@pytest.fixture(scope="module")
def beside(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    folder = tmp_path_factory.mktemp("beside")
    bundles = {
        PICTURES: brightness_bundle(folder / "flat", 2),
        VOLUMES: brightness_bundle(folder / "solid", 3),
    }
    server = archive.server
    config = folder / "service.yaml"
    pacs = {"name": "pacs", "title": server.title, "address": "127.0.0.1", "port": server.dicom_port}
    web = {"name": "web", "url": f"{server.url}/dicom-web"}
    given = {
        "spool": "spool",
        "device": "cpu",
        "bundles": [
            {
                "name": f"for-{'-'.join(modalities)}",
                "bundle": str(bundle.path),
                "takes": {"modality": list(modalities)},
                "gate": {"on": False},
            }
            for modalities, bundle in bundles.items()
        ],
        "receive": {"port": free_port()},
        "page": {"port": free_port()},
        "complete": {"quiet_s": 3},
        "send": {
            "dicom": [{**pacs, "objects": ["report", "segmentation"]}],
            "web": [{**web, "objects": ["parametric map", "overlay"]}],
            "retry_s": 0.5,
        },
    }
    config.write_text(yaml.safe_dump(given))
    with Running(config) as running:
        found = Beside(running, archive, bundles)
        found.until_it_listens()
        yield found
        assert running.stop() == 0


def by_study(files: list[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in files:
        study = str(pydicom.dcmread(file, specific_tags=["StudyInstanceUID"]).StudyInstanceUID)
        found.setdefault(study, []).append(file)
    return found


@pytest.mark.slow
def test_made_studies_come_back_read(beside: Beside, tmp_path: Path) -> None:
    """A film and a CT series, sent by dcmtk."""
    random = np.random.default_rng(3)
    film = random.integers(100, 300, (44, 36)).astype(np.uint16)
    film[8:14, 20:26] = 4000
    volume = random.integers(-900, -850, (6, 40, 36))
    volume[3:6, 8:14, 22:28] = 900
    files = [valid_studies.film(tmp_path / "film.dcm", film)]
    files += valid_studies.ct_series(tmp_path / "ct", volume)
    beside.archive.send(files)
    port = str(beside.running.settings.receive.port)
    subprocess.run(["storescu", "-aec", "SECONDREAD", "127.0.0.1", port, *map(str, files)], check=True)
    studies = by_study(files)
    beside.settle(set(studies))
    kinds = [kind for mine in studies.values() for kind in beside.check(mine)]
    assert {"SR", "SEG", "PM", "SC"} <= set(kinds)
    assert beside.rows(Alarm.kind) == []


@pytest.mark.slow
def test_real_studies_come_back_read(beside: Beside, shared_data: Path) -> None:
    paths = [shared_data / name for name in REAL]
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    beside.archive.send(files)
    studies = by_study(files)
    for mine in studies.values():
        assert set(beside.receiver.send(mine).values()) == {0}
    beside.settle(set(studies))
    kinds = [set(beside.check(mine)) for mine in studies.values()]
    read = [found for found in kinds if found]
    assert len(read) >= 4
    assert all({"SR", "SC"} <= found for found in read)
