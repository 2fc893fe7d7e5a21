"""Names of a table and files meet in a table on the disk as they would in lists."""

from __future__ import annotations

import random
from contextlib import closing

import pytest

from secondread.cohorts.labels.image_names import without_extension
from secondread.cohorts.labels.name_table import NameTable, Way
from secondread.outputs.temporary_database import TemporaryDatabase

FOLDERS, ENDINGS = ("p", "q", "a.png"), ("", ".png", ".dcm", ".nii.gz", "_1.png")


def a_path(draws: random.Random) -> str:
    folders = [draws.choice(FOLDERS) for _ in range(draws.choice((0, 0, 1, 1, 2, 3)))]
    return "/".join([*folders, draws.choice("abc") + draws.choice(ENDINGS)])


def fitting(name: str, files: list[str], way: Way) -> list[str]:
    """The files that a name fits, by going through all of them."""
    parts = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
    if not parts:
        return []
    if way in ("name", "stem"):
        parts = parts[-1:]
    for by_stem in (False, True):
        if way == ("name" if by_stem else "stem"):
            continue
        ends = {file: end_of(tuple(file.split("/")), by_stem) for file in files}
        own = end_of(parts, by_stem)
        if way == "auto" and len(parts) == 1 and not by_stem and parts[0] in files:
            return [parts[0]]
        if found := [file for file, end in ends.items() if end[-len(own) :] == own]:
            return found
        of_it = [file for file, end in ends.items() if own[-len(end) :] == end]
        longest = max((len(ends[file]) for file in of_it), default=0)
        if found := [file for file in of_it if len(ends[file]) == longest]:
            return found
    return []


def end_of(parts: tuple[str, ...], by_stem: bool) -> tuple[str, ...]:
    return (*parts[:-1], without_extension(parts[-1])) if by_stem else parts


@pytest.mark.parametrize("way", ["auto", "path", "name", "stem"])
def test_the_ends_of_paths_meet_as_in_a_look_at_all_files(way: Way) -> None:
    draws = random.Random(way)
    seen = {"one": 0, "several": 0, "none": 0}
    for _ in range(100):
        files = list(dict.fromkeys(a_path(draws) for _ in range(draws.randint(1, 7))))
        some = [a_path(draws), f"set/{draws.choice(files)}", draws.choice(files), "./a.png", "/", "b"]
        names = draws.sample(some, draws.randint(1, 5))
        names = list(dict.fromkeys(names))
        expected = {name: fitting(name, files, way) for name in names}
        several = [
            f"{name} ({', '.join(sorted(found)[:2])})" for name, found in expected.items() if len(found) > 1
        ]
        owners: dict[str, list[str]] = {}
        for name, found in expected.items():
            for file in found:
                owners.setdefault(file, []).append(name)
        with closing(TemporaryDatabase("a test")) as database:
            table = NameTable(database)
            table.add_names(names)
            table.add_files(files)
            table.match(way)
            assert (table.several.count, table.several.first) == (len(several), several[:5]), (names, files)
            if several or not owners:
                seen["several" if several else "none"] += 1
            elif any(len(own) > 1 for own in owners.values()):
                assert table.twice.count
            else:
                seen["one"] += 1
                pairs = [(found[0], name) for name, found in expected.items() if found]
                assert list(table.matches()) == pairs
                assert table.unmatched().first == [name for name in names if not expected[name]][:5]
                assert table.left().first == [file for file in files if file not in owners][:5]
    assert min(seen.values()) > 1, seen


def test_of_many_only_the_first_are_named() -> None:
    with closing(TemporaryDatabase("a test")) as database:
        table = NameTable(database)
        table.add_names(["1.png", *(f"no-{number}.png" for number in range(20))])
        table.add_files(f"{number}.png" for number in range(30))
        table.match("auto")
        assert list(table.matches()) == [("1.png", "1.png")]
        unmatched, left = table.unmatched(), table.left()
        assert (unmatched.count, unmatched.first[0], len(unmatched.first)) == (20, "no-0.png", 5)
        assert (left.count, left.few(2)) == (29, "0.png, 2.png and 27 more")
