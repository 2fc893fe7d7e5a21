"""Folders of readings made on the spot: small films with bright lesions, scored by their brightest spot."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

from secondread.bundles.seen import hash_patient

KEY = "00112233445566778899aabbccddeeff"


@dataclass
class Made:
    """A folder with a manifest and readings; change `rows`, `readings` or `run`, then `write()`."""

    folder: Path
    rows: list[dict[str, str]] = field(default_factory=list)
    readings: list[dict[str, str]] = field(default_factory=list)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    thumbnails: dict[str, np.ndarray] = field(default_factory=dict)
    studies: list[dict[str, str]] = field(default_factory=list)
    run: dict = field(default_factory=dict)

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.csv"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def csv(self) -> Path:
        return self.out / "readings.csv"

    def write(self) -> Made:
        self.out.mkdir(exist_ok=True)
        write_table(self.manifest, self.rows)
        write_table(self.csv, self.readings)
        write_table(
            self.out / "acquisition.csv", [{"path": path, **facts} for path, facts in self.facts.items()]
        )
        if self.studies:
            write_table(self.out / "studies.csv", self.studies)
        np.savez(
            self.out / "thumbnails.npz",
            paths=np.array(list(self.thumbnails)),
            thumbnails=np.stack(list(self.thumbnails.values())),
        )
        (self.out / "run.json").write_text(json.dumps(self.run))
        return self

    def give_part(
        self, name: str, values: Sequence[float], *, tail: str = "upper", weight: float | None = None
    ) -> Made:
        """One more raw part of every image; with a weight it is in the score, and calibration tells its
        tail and the median of (here) all normals."""
        for reading, value in zip(self.readings, values, strict=True):
            reading[f"part_{name}"] = repr(float(value))
        if weight is not None:
            normals = [v for v, row in zip(values, self.rows, strict=True) if row["label"] == "normal"]
            mixed = self.run["calibration"].setdefault("parts", {})
            mixed[name] = {"weight": weight, "tail": tail, "median": float(np.median(normals))}
        return self

    def see_patients(self, *patients: str, allowed: bool = False) -> Made:
        self.run["patients_seen"] = {
            "key": KEY,
            "patients": {"normal": [hash_patient(p, KEY) for p in patients]},
        }
        self.run["allow_shared_patients"] = allowed
        return self


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def make_readings(
    folder: Path,
    *,
    normal: int = 40,
    abnormal: int = 30,
    seed: int = 0,
    per_patient: int = 2,
    maps: bool = False,
    masks: bool = False,
    patients: bool = True,
    studies: bool = False,
    volumes: bool = False,
    rate: float = 0.1,
) -> Made:
    """Readings of films (or small volumes) on disk, with true scores, baselines, maps and facts."""
    random = np.random.default_rng(seed)
    made = Made(folder)
    size = (6, 20, 24) if volumes else (32, 40)
    calibration = np.sort([brightest(film(random, size)[0]) for _ in range(99)])
    threshold = float(calibration[int(np.ceil((1 - rate) * 100)) - 1])
    for number in range(normal + abnormal):
        is_abnormal = number >= normal
        picture, lesion = film(random, size, lesion=is_abnormal)
        name = (
            f"films/{'abnormal' if is_abnormal else 'normal'}/{number:03d}{'.nii.gz' if volumes else '.png'}"
        )
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_picture(folder / name, picture)
        patient = f"{'a' if is_abnormal else 'n'}{number // per_patient:03d}"
        row = {
            "path": name,
            "split": "test",
            "label": "abnormal" if is_abnormal else "normal",
            "finding": ("bright spot" if number % 3 else "bright spot; double") if is_abnormal else "",
            "site": "north" if number % 4 else "south",
        }
        if patients:
            row["patient_id"] = patient
        if studies:
            row["study_id"] = f"study-{patient}"
        if masks and is_abnormal:
            mask = name.replace("films", "masks")
            (folder / mask).parent.mkdir(parents=True, exist_ok=True)
            write_picture(folder / mask, lesion.astype(np.float32))
            row["mask"] = mask
        made.rows.append(row)
        score = brightest(picture)
        p_value = (1 + (calibration >= score).sum()) / 100
        reading = {
            "path": name,
            "digest": f"{number:040x}",
            "study_id": row.get("study_id", ""),
            "score": repr(score),
            "p_value": repr(float(p_value)),
            "flagged": str(bool(score >= threshold)).lower(),
            "part_brightest": repr(score),
            "baseline_mean_intensity": repr(float(picture.mean())),
            "baseline_pixel_1nn": repr(float(((picture - 0.4) ** 2).mean())),
            "baseline_spectrum": repr(float(np.diff(picture, axis=-1).std())),
            "seen": "",
            "map": "",
            "remarks": "",
            "error": "",
        }
        if maps:
            reading["map"] = write_map_file(folder / "out", name, gaussian_filter(picture, 1.5), volumes)
        made.readings.append(reading)
        made.facts[name] = {
            "rows": str(size[-2]),
            "columns": str(size[-1]),
            "file_bytes": str((folder / name).stat().st_size),
            "mode": "L" if number % 5 else "RGB",
        }
        plane = picture[3] if volumes else picture
        made.thumbnails[name] = np.asarray(Image.fromarray(plane).resize((16, 16)), np.float32)
    level = {
        "patients": 99,
        "patients_needed": int(np.ceil(1 / rate)) - 1,
        "threshold": threshold,
        "false_alarm_rate_range": [0.05, 0.17],
    }
    made.run = {
        "command": ["secondread", "score"],
        "seed": seed,
        "base": str(folder),
        "digests": {"bundle": "b" * 64},
        "calibration": {
            "false_alarm_rate": rate,
            "patient_ids": "all",
            "images": level,
            "studies": level if studies else None,
            "words": ["At most 0.1 of new normal images are flagged, on average over calibration sets."],
        },
        "map_scale": [0.3, 0.9],
        "map_threshold": 0.75,
        "recipe": {"about": {"title": "Brightest spot"}, "seed": seed, "detector": {"name": "brightest"}},
    }
    if studies:
        made.studies = study_rows(made, threshold, calibration)
    return made.write()


def study_rows(made: Made, threshold: float, calibration: np.ndarray) -> list[dict[str, str]]:
    highest: dict[str, tuple[float, str]] = {}
    for reading in made.readings:
        study = reading["study_id"]
        highest[study] = max(highest.get(study, (-np.inf, "")), (float(reading["score"]), reading["path"]))
    return [
        {
            "study_id": study,
            "score": repr(score),
            "p_value": repr(float((1 + (calibration >= score).sum()) / 100)),
            "flagged": str(score >= threshold).lower(),
            "worst_image": path,
        }
        for study, (score, path) in highest.items()
    ]


def film(
    random: np.random.Generator, size: tuple[int, ...], lesion: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """A noisy smooth film in 0…1 and the boolean mask of its lesion, which may be faint."""
    picture = 0.4 + gaussian_filter(random.normal(size=size), 3) + 0.06 * random.normal(size=size)
    centre = [random.integers(edge // 4, 3 * edge // 4) for edge in size]
    away = sum((axis - c) ** 2 for axis, c in zip(np.indices(size), centre, strict=True))
    mask = (away <= 9) & lesion
    return np.clip(picture + mask * random.uniform(0.05, 0.5), 0, 1).astype(np.float32), mask


def brightest(picture: np.ndarray) -> float:
    return float(gaussian_filter(picture, 1.5).max())


def write_picture(path: Path, picture: np.ndarray) -> None:
    if picture.ndim == 2:
        Image.fromarray(np.round(picture * 255).astype(np.uint8)).save(path)
    else:
        write_nifti(path, picture)


def write_nifti(path: Path, volume: np.ndarray) -> None:
    import nibabel

    nibabel.Nifti1Image(np.ascontiguousarray(volume.T), np.diag([1.0, 1.0, 3.0, 1.0])).to_filename(path)


def write_map_file(out: Path, name: str, values: np.ndarray, volumes: bool) -> str:
    relative = f"maps/{name}.map.nii.gz" if volumes else f"maps/{name}.map.tiff"
    (out / relative).parent.mkdir(parents=True, exist_ok=True)
    if volumes:
        write_nifti(out / relative, values)
    else:
        tifffile.imwrite(out / relative, values.astype(np.float32))
    return relative
