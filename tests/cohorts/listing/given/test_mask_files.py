"""Files that patterns of masks name, with a look at few files for each image."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from contextlib import closing

import pytest

from secondread.cohorts.listing.given import mask_files
from secondread.cohorts.listing.streamed.file_table import FileTable
from secondread.outputs.temporary_database import TemporaryDatabase

PATTERNS = (
    "{stem}_m*.png", "*{stem}_m.png", "*_{stem}*", "?{name}", "*{stem}?m*", "*{parent}*.png", "*.png{parent}",
    "{folder}/*/{stem}.png", "{folder}/../*/{stem}?*.png", "masks/*{stem}.png", "*/{stem}*", 
    "b/*/*{stem}*.png",
    "masks/*/{folder}/{name}", "*/{folder}/../../{stem}.png", "*/*{name}", "{folder}/{stem}.png", "**{stem}",
    "{folder}/*", "x*_{parent}_*{stem}*",
)  # fmt: skip
"""Anchors at the beginning, at the end, between, in several folders, and none."""


def fitting(pattern: str, paths: list[str]) -> set[tuple[int, str, str]]:
    with closing(TemporaryDatabase("files")) as database:
        files = FileTable(database)
        files.add_paths(paths)
        files.sort_paths()
        found = list(mask_files.mask_files(pattern, files, database))
    assert len(found) == len(set(found))
    return set(found)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often a path was compared with a pattern."""
    compared, fits = itertools.count(), mask_files.fits

    def count(path: str, pieces: list[str]) -> bool:
        next(compared)
        return fits(path, pieces)

    monkeypatch.setattr(mask_files, "fits", count)
    return lambda: next(compared)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_files_are_those_that_a_look_at_all_for_each_image_finds(pattern: str) -> None:
    draw = random.Random(pattern)
    names = ["1", "2", "12", "a1", "m", "1_m", "2_m", "x1_m", "x_b_12", "x_1_m2", "1xm"]
    folders = ["", "a/", "b/", "a/b/", "masks/", "masks/a/b/", "b/c/", "b/c/d/"]
    every = [folder + name + end for folder in folders for name in names for end in (".png", ".pngb", "")]
    found = 0
    for _ in range(2):
        paths = [*draw.sample(every, 40), "a/b/xy.png", "masks/q/a/b/xy.png"]
        expected = set()
        for number, image in enumerate(paths, 1):
            pieces = mask_files.filled(pattern, image)
            expected |= {(number, image, path) for path in paths if mask_files.fits(path, pieces)}
        assert fitting(pattern, paths) == expected
        found += len(expected)
    assert found


@pytest.mark.parametrize("pattern", ["*{stem}_m.png", "*_{stem}_*", "masks/*{stem}?m.png", "*/{stem}_m.png"])
def test_each_file_of_a_large_folder_is_compared_with_few_images(
    pattern: str, counted: Callable[[], int]
) -> None:
    stems = [f"{number:05d}" for number in range(400)]
    paths = [f"{stem}.png" for stem in stems] + [f"masks/x_{stem}_m.png" for stem in stems]
    paths += [f"x_{stem}_m.png" for stem in stems] + [
        f"{folder}/{stem}_m.png" for folder in "abc" for stem in stems
    ]
    assert len(fitting(pattern, paths)) >= 400
    assert counted() < 2 * len(paths)


def test_many_stars_beside_a_name_that_nearly_fits_cost_no_more_than_their_number() -> None:
    assert not mask_files.fits("a" * 200 + "b", ["", *["*", "a"] * 60, "*", "c"])
    assert mask_files.fits("a" * 200 + "c", ["", *["*", "a"] * 60, "*", "c"])
