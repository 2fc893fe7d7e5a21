"""An archive of small pictures, drawn from their numbers: 96×96, in folders of a thousand, two a study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from secondread import parquet
from secondread.outputs.whole import whole_file

SIDE = 96


def pictures(folder: Path, images: int) -> Path:
    """The manifest of the pictures; those that are missing are drawn, each from its number."""
    for number in range(images):
        place = folder / name_of(number)
        if number % 1000 == 0:
            place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_file():
            draws = np.random.default_rng(number)
            coarse = Image.fromarray(draws.integers(0, 256, (12, 12), dtype=np.uint8))
            with whole_file(place, synced=False) as file:
                coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "PNG", compress_level=1)
    manifest = folder / f"manifest-{images}.parquet"
    columns = {"path": "string", "study_id": "string", "patient_id": "string"}
    rows = ((name_of(n), f"study-{n // 2}", f"patient-{n // 4}") for n in range(images))
    with whole_file(manifest) as file:
        parquet.write(file, columns, rows, of=manifest)
    return manifest


def name_of(number: int) -> str:
    return f"pictures/{number // 1000:06d}/{number:09d}.png"
