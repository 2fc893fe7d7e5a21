"""What a new user gives in place of a manifest is named, with the command or file that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from secondread.cohorts.cohort_settings import CohortSettings
from secondread.cohorts.cohorts import build_cohorts
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.split import split
from secondread.errors import UserError


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as refused:
        Manifest.read(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_folder_is_to_be_indexed_first(tmp_path: Path) -> None:
    films = tmp_path / "my films"
    films.mkdir()
    assert refusal(films) == (
        f"{films}: a folder, where a manifest was meant; list its images first with `secondread index "
        f"'{films}' -o manifest.csv`"
    )
    (films / "manifest.csv").write_text("path\na.png\n")
    assert refusal(films).endswith(f"where a manifest was meant; give {films}/manifest.csv")


def test_another_encoding_is_named_with_the_command_that_converts_it(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes("path,label\nMüller.png,normal\n".encode("cp1252"))
    line = refusal(path)
    assert "it looks like cp1252 (line 2 would read 'Müller.png,normal')" in line
    assert f"`iconv -f cp1252 -t utf-8 {path} > {tmp_path}/labels-utf8.csv`" in line


def test_an_image_a_workbook_and_a_misspelt_name_say_what_was_meant(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "film.png")
    assert "an image, where a manifest was meant; list it first with" in refusal(tmp_path / "film.png")
    (tmp_path / "labels.xlsx").write_bytes(b"PK\x03\x04\xff\xfe")
    assert f"secondread index FOLDER --labels {tmp_path}/labels.xlsx" in refusal(tmp_path / "labels.xlsx")
    (tmp_path / "manifest.csv").write_text("path\na.png\n")
    assert refusal(tmp_path / "manfest.csv").endswith("did you mean manifest.csv?")
    assert "there is no folder" in refusal(tmp_path / "gone" / "m.csv")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("a.png,train,\nb.png,test,\n", "no row has a label at all: write normal into the column label"),
        ("a.png,train,abnormal\nb.png,test,normal\n", "1 normal in other splits or pools: split anew with"),
        ("a.png,train,abnormal\nb.png,test,abnormal\n", "1 training row with other labels"),
    ],
)
def test_no_normal_to_learn_from_says_why_and_how_to_have_one(tmp_path: Path, rows: str, told: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"path,split,label\n{rows}")
    with pytest.raises(UserError, match="no row has split train and label normal") as refused:
        build_cohorts(Manifest.read(path), CohortSettings(), seed=0)
    assert told in str(refused.value)


def test_a_column_to_stratify_by_that_is_not_there_says_which_are_and_how_to_add_it(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("path,label,sites,view\na.png,normal,x,PA\nb.png,normal,y,AP\n")
    with pytest.raises(UserError) as refused:
        split(path, seed=0, stratify=("label", "site"))
    line = str(refused.value)
    assert "no column 'site' to stratify by; did you mean sites? there are label, sites, view;" in line
    assert "--keep site" in line
