"""Small data laid out as the pages of the documentation name it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import yaml
from PIL import Image as Picture
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage, generate_uid

import secondread

SIZE = (32, 32)
GROUPS = {
    ("train", "normal"): 150, ("train", "abnormal"): 40, ("train", ""): 20, ("test", "normal"): 12,
    ("test", "abnormal"): 6,
}  # fmt: skip
"""Films of each split and label."""
FOUR = ("t1", "t1ce", "t2", "flair")


def films(folder: Path) -> None:
    """`films/normal` and `films/pneumonia`, and `manifest.csv`, which says more of them than the folders:
    which have no label, what was found, patients, sites and views."""
    random = np.random.default_rng(0)
    rows = []
    for (split, label), count in GROUPS.items():
        for number in range(count):
            abnormal = label == "abnormal" or (not label and number % 4 == 0)
            kind = "pneumonia" if abnormal else "normal"
            path = Path("films") / kind / f"{split}-{label or 'unlabelled'}-{number:03}.png"
            picture(folder / path, random, lesion=abnormal)
            finding = ("viral pneumonia", "mass")[number % 2] if label == "abnormal" else ""
            patient = f"{split}-{label}-{number}"
            rows.append((str(path), split, label, finding, patient, "AB"[number % 2], "PA"))
    table(folder / "manifest.csv", "path split label finding patient_id site view", rows)


def picture(path: Path, random: np.random.Generator, lesion: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = random.normal(120, 12, SIZE)
    if lesion:
        drawn[8:16, 8:16] += 60
    Picture.fromarray(drawn.clip(0, 255).astype(np.uint8)).save(path)


def table(path: Path, columns: str, rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([columns.split(), *rows])


def several(folder: Path, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    for number in range(count):
        picture(folder / f"{number:02}.png", random)


def engineer(folder: Path) -> None:
    several(folder / "archive" / "site-a" / "normal", 130, 1)
    several(folder / "archive" / "site-b" / "normal", 25, 2)
    random = np.random.default_rng(3)
    for number in range(3):
        frame = random.integers(0, 255, (1, *SIZE), dtype=np.uint8)
        clip(folder / "incoming" / "2026-11-21" / f"{number:02}.dcm", frame)
    (folder / "site.key").write_bytes(bytes(range(32)))
    (folder / "site.key").chmod(0o600)


def experiments(folder: Path) -> None:
    """A published repartition in the form that the DDAD authors give it."""
    several(folder / "rsna" / "images", 190, 4)
    names = [file.name for file in sorted((folder / "rsna" / "images").iterdir())]
    listed = {
        "train": {"0": names[:100], "unlabeled": {"0": names[100:140], "1": names[140:170]}},
        "test": {"0": names[170:180], "1": names[180:]},
    }
    (folder / "rsna" / "data.json").write_text(json.dumps(listed))


def bundle(folder: Path) -> None:
    """A bundle, and the figures of its report."""
    values = {"preprocessing": {"size": [16, 16]}, "detector": {"name": "spectrum"}}
    made = secondread.fit(values, folder / "manifest.csv", folder / "bundle", workers=0, progress=False)
    readings = secondread.score(made, folder / "manifest.csv", where=["split=test"], workers=0)
    evaluation = secondread.evaluate(readings, folder / "manifest.csv", bootstrap=20, workers=0)
    (folder / "report").mkdir()
    (folder / "report" / "metrics.json").write_text(json.dumps(evaluation.metrics()))


def data_sets(folder: Path) -> None:
    several(folder / "chest_xray" / "train" / "NORMAL", 4, 5)
    several(folder / "chest_xray" / "train" / "PNEUMONIA", 4, 6)
    several(folder / "chest_xray" / "test" / "NORMAL", 2, 7)
    several(folder / "chest_xray" / "test" / "PNEUMONIA", 2, 8)
    for file in sorted((folder / "chest_xray").rglob("*.png")):
        Picture.open(file).save(file.with_suffix(".jpeg"), quality=95)
        file.unlink()
    several(folder / "rsna" / "stage_2_train_images", 6, 9)
    names = [f"{number:02}" for number in range(6)]
    table(
        folder / "rsna" / "stage_2_detailed_class_info.csv",
        "patientId class",
        [(name, "Normal" if number < 4 else "Lung Opacity") for number, name in enumerate(names)],
    )
    table(
        folder / "rsna" / "stage_2_train_labels.csv",
        "patientId x y width height Target",
        [(name, "", "", "", "", "0") for name in names[:4]]
        + [(name, "0", "0", "8", "8", "1") for name in names[4:]],
    )
    listed = {
        "train": {"0": ["00.png", "01.png"], "unlabeled": {"0": ["02.png"], "1": ["04.png"]}},
        "test": {"0": ["03.png"], "1": ["05.png"]},
    }
    (folder / "data.json").write_text(json.dumps(listed))


def formats(folder: Path) -> None:
    random = np.random.default_rng(9)
    (folder / "clips" / "normal").mkdir(parents=True)
    for place in [folder / "clip.dcm", *(folder / "clips" / "normal" / f"{n:02}.dcm" for n in range(8))]:
        clip(place, random.integers(0, 255, (15, *SIZE), dtype=np.uint8))
    for number in range(3):
        several(folder / "frames" / f"clip-{number}", 5, 10 + number)
    rows: list[tuple[str, ...]] = []
    for number in range(30):
        paths = [f"heads/{number}-{name}.nii.gz" for name in FOUR]
        for path in paths:
            volume(folder / path, random)
        rows.append(("|".join(paths), "test" if number > 26 else "train", "normal", f"p{number}"))
    table(folder / "sequences.csv", "path split label patient_id", rows)
    for number in range(30):
        volume(folder / "scans" / "train" / "normal" / f"{number}.nii.gz", random)
    volume(folder / "scan.nii.gz", random)


def clip(path: Path, frames: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    made = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = UltrasoundMultiFrameImageStorage, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.Modality, made.PatientID, made.FrameTime = "US", path.stem, "40"
    made.NumberOfFrames, made.Rows, made.Columns = frames.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.PixelData = frames.tobytes()
    made["PixelData"].VR = "OB"
    made.save_as(path, enforce_file_format=True)


def volume(path: Path, random: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(random.normal(size=(8, 8, 8)).astype(np.float32), np.eye(4)), path)


def researcher(folder: Path) -> None:
    random = np.random.default_rng(13)
    arrays = {"train_images": random.integers(0, 255, (6, *SIZE), dtype=np.uint8)}
    np.savez(folder / "set.npz", **arrays, train_labels=np.zeros((6, 1), np.uint8))
    several(folder / "textures", 12, 14)
    recipe = {
        "about": {"title": "mine"},
        "preprocessing": {"size": [64, 64]},
        "detector": {"name": "spectrum"},
    }
    (folder / "my-recipe.yaml").write_text(yaml.safe_dump(recipe))
    for number in (1, 2):
        picture(folder / f"normal-{number}.png", random)
    labels_in_tables(folder)
    facts_in_names(folder, random)


def labels_in_tables(folder: Path) -> None:
    """Tables in the forms of NIH ChestX-ray14, ISIC and RSNA."""
    films = sorted((folder / "films").rglob("*.png"))
    rows = [
        (file.name, "No Finding" if "-normal-" in file.name else "Mass", file.stem, "PA") for file in films
    ]
    head = ("Image Index", "Finding Labels", "Patient ID", "View Position")
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([head, *rows])
    several(folder / "skin", 4, 20)
    one_hot = [
        (f"{number:02}", *("1.0" if number == place else "0.0" for place in range(7))) for number in range(4)
    ]
    table(folder / "truth.csv", "image MEL NV BCC AKIEC BKL DF VASC", one_hot)
    several(folder / "rsna", 4, 21)
    boxes = [(f"{number:02}", "", "", "", "", "0") for number in range(3)] + [("03", "0", "0", "8", "8", "1")]
    table(folder / "stage_2_train_labels.csv", "patientId x y width height Target", boxes)


def facts_in_names(folder: Path, random: np.random.Generator) -> None:
    """Names in the forms of OCT2017, BUSI and BraTS."""
    for number in range(3):
        picture(folder / "OCT2017" / "train" / "NORMAL" / f"NORMAL-10{number}-1.png", random)
        for end in ("", "_mask", "_mask_1"):
            picture(folder / "busi" / "benign" / f"benign ({number}){end}.png", random)
        picture(folder / "busi" / "masks" / f"benign ({number}).png", random)
        case = folder / "BraTS2021" / f"BraTS2021_0000{number}"
        case.mkdir(parents=True)
        for part in (*FOUR, "seg"):
            volume(case / f"{case.name}_{part}.nii.gz", random)


def first_steps(folder: Path) -> None:
    several(folder / "new-films", 4, 15)


def patch_features(folder: Path) -> None:
    several(folder / "confirmed", 25, 16)
    rows = [(f"confirmed/{n:02}.png", "normal", f"confirmed-{n}") for n in range(25)]
    table(folder / "confirmed.csv", "path label patient_id", rows)


def distillation(folder: Path) -> None:
    several(folder / "photographs", 12, 17)


def encoders(folder: Path) -> None:
    """Volumes of heads, and the bundle of another fit."""
    random = np.random.default_rng(18)
    rows = []
    for number in range(30):
        volume(folder / "heads" / f"{number}.nii.gz", random)
        rows.append((f"heads/{number}.nii.gz", "train", "normal", f"p{number}"))
    table(folder / "heads.csv", "path split label patient_id", rows)


def mixtures(folder: Path) -> None:
    random = np.random.default_rng(19)
    rows = [
        (split, label, *(f"{value:.4f}" for value in random.normal(size=12)))
        for (split, label), count in GROUPS.items()
        for _ in range(count)
    ]
    table(folder / "features.csv", "split label " + " ".join(f"x{n}" for n in range(12)), rows)


FURTHER: dict[str, Callable[[Path], None]] = {
    "docs/bundle.md": bundle,
    "docs/export.md": bundle,
    "docs/data-sets.md": data_sets,
    "docs/engineer.md": engineer,
    "docs/experiments.md": experiments,
    "docs/formats.md": formats,
    "docs/methods/distillation.md": distillation,
    "docs/methods/encoders.md": encoders,
    "docs/methods/mixtures.md": mixtures,
    "docs/methods/patch-features.md": patch_features,
    "docs/researcher.md": researcher,
    "docs/start/first-steps.md": first_steps,
}
"""What a page names beside films and their manifest."""
