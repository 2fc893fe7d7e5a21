"""The contract of a converter: what a public data set is, how it lies on disk, and its images as rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

from secondread.cohorts.row import Row
from secondread.datasets.public_folder import Form, PublicFolder
from secondread.errors import UserError
from secondread.wording.near_names import near_names

CXR_STEP = 'the DICOM step of DDAD and MedIAnomaly: --set "preprocessing.steps=[{window: ddad}]"'
"""MONOCHROME1 turned round and each image from its lowest to its highest value, as a recipe's setting."""


@dataclass(frozen=True)
class Choices:
    """What a person may say of a data set; a converter names those that it takes.

    protocol  whose split and selection: one of the converter's `protocols`
    part      one of several sets in the folder: a category, an organ, an archive
    normal    the findings that count as normal, in place of the published ones
    readers   how many readers have to mark an image for it to be abnormal
    modality  which images of a case: `flair`, or several that become channels: `t1,t2`
    slices    axial slices of volumes in place of volumes: `all`, `60-100` or `30%-70%`
    """

    protocol: str = ""
    part: str = ""
    normal: tuple[str, ...] = ()
    readers: int | None = None
    modality: str = ""
    slices: str = ""

    @property
    def given(self) -> tuple[str, ...]:
        """The names of what was said."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) not in ("", (), None))


class Dataset(ABC):
    """A public data set in a person's folder.

    title      what people call it
    licence    the terms under which it is given, in short
    source     where to get it
    paper      who published it
    layout     how it lies on disk, in words
    split      the published split, in words
    read_from  the public README or code from which the layout was read: repository and path
    forms      the ways in which it lies on disk, the usual one first
    hint       a word in the folder's name, where several sets have this layout; `|` stands between two
    protocols  the splits and selections that a person may ask for, the default first
    takes      the other choices that it takes, and what they mean here
    as_papers  settings of a recipe that repeat how papers prepared the images

    A converter opens no image unless it says so; `secondread check` reads them. It appends to `guessed` what
    it took for granted and to `notes` what else a person should know, each in one line. `masks_beside` is the
    manifest beside which masks lie that it makes, and `workers` how many processes read files for that.
    """

    title: ClassVar[str]
    licence: ClassVar[str]
    source: ClassVar[str]
    paper: ClassVar[str]
    layout: ClassVar[str]
    split: ClassVar[str]
    read_from: ClassVar[tuple[str, ...]]
    forms: ClassVar[tuple[Form, ...]]
    hint: ClassVar[str] = ""
    protocols: ClassVar[Mapping[str, str]] = {}
    takes: ClassVar[Mapping[str, str]] = {}
    as_papers: ClassVar[str] = ""

    def __init__(self, folder: PublicFolder, choices: Choices) -> None:
        self.folder = folder
        self.choices = choices
        self.guessed: list[str] = []
        self.notes: list[str] = []
        self.masks_beside: Path | None = None
        self.workers = 0

    @classmethod
    def name(cls) -> str:
        """As the command line and the registry have it."""
        return cls.__module__.rpartition(".")[2].replace("_", "-")

    @property
    def protocol(self) -> str:
        """The protocol that was asked for, or the default one; "" where there are none."""
        return self.choices.protocol or next(iter(self.protocols), "")

    @abstractmethod
    def rows(self) -> Iterable[Row]:
        """The images as rows, paths and masks relative to the folder's root. Raises UserError for what is
        missing or contradicts the layout."""

    @classmethod
    def check(cls, choices: Choices) -> None:
        """UserError for a choice that this data set does not take, or a protocol that it does not have."""
        taken = [*(["protocol"] if cls.protocols else []), *cls.takes]
        unknown = [name for name in choices.given if name not in taken]
        if unknown:
            options = ", ".join(f"--{name}" for name in taken) or "none of these"
            raise UserError(
                f"--{unknown[0]}: the data set {cls.name()} has no such choice; it takes {options}"
            )
        if choices.protocol and choices.protocol not in cls.protocols:
            near = near_names(choices.protocol, cls.protocols, 1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise UserError(
                f"--protocol {choices.protocol}: unknown to {cls.name()}; {meant}it has "
                f"{', '.join(cls.protocols)}"
            )
