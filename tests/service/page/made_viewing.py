"""A service that has read phantoms: films and heads as DICOM, by bundles that draw maps, with a shadow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from made_page import QUICK, Page, password_of
from made_study import header, write, write_film
from PIL import Image as Picture
from pydicom.uid import CTImageStorage
from reading_service import Service, made_service

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.fitting.fit import fit
from secondread.recipes.recipe import Recipe
from secondread.service.page.app import create_app
from secondread.service.page.people import persons
from secondread.service.page.people.passwords import Passwords
from secondread.service.reading.at_work import at_work
from secondread.service.store.tables import Study

NAMES = (
    "Ahorn^Ada", "Birke^Ben", "Buche^Cem", "Eiche^Dana",
    "Erle^Emil", "Esche^Finn", "Fichte^Greta", "Übel^Hanna",
)  # fmt: skip
ROOT = "1.2.826.0.1.3680043.8.498.20"


@dataclass
class Viewing:
    """films, heads  ids of the studies that were read; `nobody`: of one that no bundle takes"""

    page: Page
    service: Service
    films: list[int]
    heads: list[int]
    nobody: int


def fitted(folder: Path, rank: Any, size: list[int], normals: int, abnormal: int) -> tuple[Path, list[Path]]:
    """A bundle of phantoms that draws maps, and test phantoms, those with a lesion last."""
    place = folder / f"phantoms-{rank}"
    shape = (128, 128) if rank == 2 else (16, 48, 48)
    make_phantoms(place, seed=3, rank=rank, n_normal=normals, n_abnormal=abnormal, bits=16, size=shape)
    manifest = Manifest.read(place / "manifest.csv")
    settings = ["cohorts.validation=0.2", "cohorts.calibration=0.45", "calibration.false_alarm_rate=0.2"]
    recipe = Recipe.load("knn-patches", set=[f"preprocessing.size={size}", "precision=float32", *settings])
    bundle = folder / f"bundle-{rank}"
    fit(recipe, manifest, bundle, workers=0, cache=folder / "cache", progress=False)
    test = [place / row.path for row in manifest.rows if row.split == "test"]
    return bundle, sorted(test, key=lambda path: ("abnormal" in path.parts, path.name))


def film_of(phantom: Path, out: Path, number: int, **elements: Any) -> Path:
    pixels = np.asarray(Picture.open(phantom)).astype(np.uint16) >> 4
    study = f"{ROOT}.{number}"
    return write_film(
        out, 4095 - pixels, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1", BodyPartExamined="CHEST",
        ViewPosition="PA", WindowCenter=2048, WindowWidth=4096, BitsStored=12, HighBit=11,
        ImagerPixelSpacing=[2.0, 2.0], **elements,
    )  # fmt: skip


def head_of(phantom: Path, folder: Path, number: int) -> list[Path]:
    """A CT series of a drawn head, feet first."""
    volume = np.asarray(nibabel.load(phantom).dataobj).transpose(2, 1, 0).astype(np.int16)
    study, files = f"{ROOT}.{number}", []
    for at, pixels in enumerate(volume):
        made = header(CTImageStorage, "CT", pixels)
        made.StudyInstanceUID, made.SeriesInstanceUID = study, f"{study}.1"
        made.FrameOfReferenceUID, made.InstanceNumber = f"{study}.2", at + 1
        made.ImagePositionPatient, made.ImageOrientationPatient = [0.0, 0.0, 6.0 * at], [1, 0, 0, 0, 1, 0]
        made.PixelSpacing, made.SliceThickness = [3.5, 3.5], 6.0
        made.RescaleIntercept, made.RescaleSlope = 0, 1
        made.WindowCenter, made.WindowWidth = 500, 1000
        made.BodyPartExamined = "HEAD"
        files.append(write(folder / f"{number}-{at:02}.dcm", made))
    return files


def made_viewing(folder: Path, *, films: int = 2, heads: int = 1) -> Viewing:
    chest, chests = fitted(folder, 2, [64, 64], 24, 2)
    head, skulls = fitted(folder, 3, [8, 32, 32], 16, 1)
    gate = {"on": False}
    service = made_service(
        folder,
        [
            {"name": "chest", "bundle": chest, "takes": {"modality": ["DX"]}, "gate": gate},
            {"name": "head", "bundle": head, "takes": {"modality": ["CT"]}, "gate": gate},
        ],
        page={"logins_per_min": 1000, "requests_per_min": 1_000_000},
    )
    (folder / "dicom").mkdir()
    read_films, read_heads = [], []
    for number, phantom in enumerate(chests[-films:]):
        files = [film_of(phantom, folder / "dicom" / f"{number}.dcm", number)]
        if number == films - 1:
            files.append(film_of(chests[0], folder / "dicom" / f"{number}-2.dcm", number, InstanceNumber=2))
        read_films.append(service.receive(*files, study=f"{ROOT}.{number}"))
    for number, phantom in enumerate(skulls[-heads:], 20):
        files = head_of(phantom, folder / "dicom", number)
        read_heads.append(service.receive(*files, study=f"{ROOT}.{number}", modality="CT"))
    lost = film_of(chests[0], folder / "dicom" / "30.dcm", 30, Modality="MG")
    nobody = service.receive(lost, study=f"{ROOT}.30", modality="MG")
    with service.database.write() as session:
        for number, study in enumerate([*read_films, *read_heads, nobody]):
            row = session.get(Study, study)
            assert row is not None
            row.patient_name, row.patient_id = NAMES[number % len(NAMES)], f"P{4711 + number}"
            row.accession, row.study_date, row.birth_date, row.sex = (
                f"A{7700 + number}",
                "20261127",
                "19500102",
                "F",
            )
            row.modality = "DX" if study in read_films else "CT" if study in read_heads else "MG"
            row.description = (
                "Thorax p.a." if study in read_films else "Schädel" if study in read_heads else "Mamma"
            )
            row.instances = 16 if study in read_heads else 1
    with at_work(service.settings) as bundles:
        scorer = service.scorer(bundles)
        while scorer.next() is not None:
            pass
    passwords = Passwords(QUICK)
    with service.database.write() as session:
        for role in persons.ROLES:
            persons.add(session, role, role, password=passwords.hash(password_of(role)))
    app = create_app(service.settings, service.database, hasher=QUICK)
    return Viewing(Page(app, service.database, service.settings), service, read_films, read_heads, nobody)
