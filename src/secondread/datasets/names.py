"""Names of data sets: in any usual spelling, near ones of one that is not known, and those of a layout."""

from __future__ import annotations

from pathlib import Path

from secondread.datasets import DATASETS
from secondread.datasets.dataset import Dataset
from secondread.datasets.public_folder import located
from secondread.errors import UserError
from secondread.registry.outside import allow, is_place
from secondread.wording.lists import few
from secondread.wording.near_names import near_names


def dataset_named(name: str) -> type[Dataset]:
    """The converter of this name, in whatever spelling (`OCT2017`, `kermany_cxr`); `module:Class` is one of
    your own. Raises UserError with near names for one that is not known."""
    if is_place(name):
        allow([name])
        return DATASETS.chosen(name, "the data set")
    spelt = name.strip().lower().replace("_", "-").replace(" ", "-")
    if spelt not in DATASETS.built_in and spelt not in DATASETS.offered:
        if Path(name).is_dir():
            raise UserError(_folder_in_place_of_name(name))
        near = few(_near(spelt), 6)
        raise UserError(
            f"no data set is called {name[:80]!r}; {f'did you mean {near}? ' if near else ''}"
            "`secondread dataset` lists all, and `secondread index` takes any other folder"
        )
    return DATASETS.chosen(spelt, "the data set")


def recognised(folder: str | Path) -> list[str]:
    """The data sets whose layout a folder has, or one below it."""
    found = []
    for name in DATASETS:
        kind = DATASETS.find(name)
        try:
            located(Path(folder), kind.forms, kind.hint, "")
        except UserError:
            continue
        found.append(name)
    return found


def _folder_in_place_of_name(folder: str) -> str:
    told = f"{folder}: a folder, where the name of a data set was meant"
    alike = recognised(folder)
    if not alike:
        return f"{told}; `secondread dataset` lists them, and `secondread index` takes any folder"
    rest = f" (or {few(alike[1:], 6)})" if alike[1:] else ""
    return (
        f"{told}; its layout is that of {alike[0]}{rest}: "
        f"secondread dataset {alike[0]} {folder} -o {alike[0]}.csv"
    )


def _near(name: str) -> list[str]:
    """Names that hold this one or are part of it (`rsna`, `pneumoniamnist`), else those spelt alike."""
    part = [
        each
        for each in DATASETS
        if len(name) > 2
        and (name in each or each in name or any(word in name for word in _hints(DATASETS.find(each).hint)))
    ]
    return part or near_names(name, [*DATASETS, *DATASETS.offered])


def _hints(hint: str) -> list[str]:
    return [word for word in hint.split("|") if word]
