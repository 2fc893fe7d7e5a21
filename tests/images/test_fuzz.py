"""The short form of benchmarks/machines/fuzz.py: the same files, fewer of them."""

from __future__ import annotations

from pathlib import Path

import fuzz_run
import numpy as np
import pytest
from fuzz_mutations import mutated
from fuzz_seeds import seeds

from secondread.images.read import list_members, read_image

LARGEST_GROWTH = 200 << 20


def test_every_seed_is_read_so_that_damage_reaches_the_decoders(tmp_path: Path) -> None:
    for name, data in seeds(tmp_path).items():
        path = tmp_path / name
        path.write_bytes(data)
        if name.endswith(".npz"):
            assert len(list_members(path)) == 4
            read_image(f"{path}#train_images/0")
        elif name == "times.nii":
            read_image(f"{path}#frame/1")
        else:
            read_image(path)


@pytest.mark.parametrize(("files", "seed"), [(20, 12), pytest.param(160, 12, marks=pytest.mark.slow)])
def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path: Path, files: int, seed: int) -> None:
    report = fuzz_run.fuzz(tmp_path, files, seed=seed, workers=1, timeout_s=30.0, memory_bytes=2 << 30)
    assert report.escapes == []
    assert report.hangs == []
    assert report.growth < LARGEST_GROWTH
    refused, read = (report.counts[f"read_image: {what}"] for what in ("refused", "read"))
    assert min(refused, read) > files // 10


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    made = [list(seeds(tmp_path).values()) for _ in range(2)]
    assert made[0] == made[1]
    damaged = [
        [mutated(one, ones, np.random.default_rng(number)) for number, one in enumerate(ones)]
        for ones in made
    ]
    assert damaged[0] == damaged[1]
    assert all(one != other for one, other in zip(made[0], damaged[0], strict=True))
