"""Folders for splits that hold folders for classes: `train/NORMAL`, `test/PNEUMONIA`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from secondread.cohorts.row import Row
from secondread.datasets.public_folder import PublicFolder, stem


class Named(NamedTuple):
    """What a folder's name says of the images in it."""

    label: str
    finding: str = ""


NORMAL = Named("normal")


def rows_of_classes(
    folder: PublicFolder,
    splits: Mapping[str, str],
    classes: Mapping[str, Named],
    patient: Callable[[str], str] = lambda name: "",
    inner: str = "",
) -> list[Row]:
    """The images of every split and class.

    splits   folder of a split (a pattern), and what the manifest calls it; "." where there are none
    classes  folder of a class (a pattern), and what it says
    patient  the patient's id from a file's name without its ending, "" where it says none
    inner    a folder between the class and its images
    """
    rows = []
    for place, split in splits.items():
        for name, said in classes.items():
            pattern = "/".join(part for part in (place.strip("."), name, inner) if part)
            rows += [
                Row(path, split, said.label, said.finding, patient(stem(path)))
                for path in folder.images(pattern)
            ]
    return rows


def patient_by(pattern: str) -> Callable[[str], str]:
    """The patient's id as the first group of a regular expression on the file's name; "" where it does not
    fit."""
    compiled = re.compile(pattern)

    def patient(name: str) -> str:
        found = compiled.match(name)
        return found[1] if found else ""

    return patient
