"""What a person is told who names a recipe that is not there."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from secondread.wording.lists import few
from secondread.wording.near_names import near_names

LIST = "`secondread recipes` lists the presets"
SUFFIXES = (".yaml", ".yml")


def no_such_preset(name: str, known: Collection[str]) -> str:
    """Near names, or that several names are separated by spaces."""
    parts = [part.strip() for part in name.replace(";", ",").split(",") if part.strip()]
    if len(parts) > 1:
        return f"{name!r}: the names of recipes are separated by spaces, as in {' '.join(parts)}"
    near = near_names(name, known) or near_names(name, known, 1, 0.4)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"no preset is called {name!r}; {hint}{LIST}; a recipe of your own is given as its .yaml file"


def no_such_file(path: Path, known: Collection[str]) -> str:
    """Near names in its folder, and among the presets."""
    folder = path.parent
    if not folder.is_dir():
        return f"{path}: no such file, and there is no folder {folder}; {LIST}"
    beside = sorted(file.name for file in folder.iterdir() if file.suffix in SUFFIXES)
    stems = near_names(path.stem, {Path(name).stem for name in beside})
    near = [name for name in beside if Path(name).stem in stems]
    preset = near_names(path.stem, known, 1, 0.75)
    meant = [*(str(folder / name) for name in near), *(f"the preset {name}" for name in preset)]
    if meant:
        return f"{path}: no such file; did you mean {' or '.join(meant)}?"
    there = f"recipes in that folder: {few(beside)}" if beside else "no .yaml file lies in that folder"
    return f"{path}: no such file; {there}; {LIST}"
