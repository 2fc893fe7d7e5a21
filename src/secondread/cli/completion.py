"""What a shell offers when Tab is pressed: names that the package knows, found without importing it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

RECIPE_FILES = (".yaml", ".yml")


def recipe_names(incomplete: str) -> list[str]:
    """Presets, and the YAML files and folders that the shell would offer; after `NAME=` as well.

    >>> recipe_names("aeflow-c"), recipe_names("mine=aeflow-c")
    (['aeflow-conv'], ['mine=aeflow-conv'])
    """
    name, equals, begun = incomplete.rpartition("=")
    presets = sorted(_stems("recipes/presets", ".yaml"))
    return [f"{name}{equals}{found}" for found in [*presets, *_files(begun)] if found.startswith(begun)]


def anomaly_names(incomplete: str) -> list[str]:
    """Kinds of synthetic anomalies."""
    return _begun_with(incomplete, _stems("anomalies/kinds", ".py"))


def data_set_names(incomplete: str) -> list[str]:
    """Public data sets, each a file in a folder of `datasets`.

    >>> data_set_names("kerm")
    ['kermany-cxr']
    """
    place = resources.files("secondread").joinpath("datasets")
    folders = [each for each in place.iterdir() if each.is_dir() and each.name != "layouts"]
    files = [file.name for folder in folders for file in folder.iterdir()]
    names = [name.removesuffix(".py").replace("_", "-") for name in files if name.endswith(".py")]
    return _begun_with(incomplete, [name for name in names if name[0] != "-"])


def paper_names(incomplete: str) -> list[str]:
    """Papers whose tables can be run again.

    >>> paper_names("f-")
    ['f-anogan']
    """
    return _begun_with(incomplete, _stems("reproduction/papers", ".yaml"))


def devices(incomplete: str) -> list[str]:
    """The devices that every machine may be asked for."""
    return _begun_with(incomplete, ["auto", "cpu", "cuda"])


def _begun_with(incomplete: str, names: list[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))


def _stems(folder: str, suffix: str) -> list[str]:
    place = resources.files("secondread").joinpath(folder)
    return [name.removesuffix(suffix) for name in _names(place) if name.endswith(suffix) and name[0] != "_"]


def _names(place: Traversable) -> Iterator[str]:
    for entry in place.iterdir():
        if entry.is_dir():
            yield from _names(entry)
        else:
            yield entry.name


def _files(begun: str) -> list[str]:
    """Recipe files, and folders in which some may lie, that begin with what was typed."""
    folder, _, name = begun.rpartition("/")
    place = Path(folder + "/") if "/" in begun else Path()
    try:
        entries = sorted(place.iterdir())
    except OSError:
        return []
    before = f"{folder}/" if "/" in begun else ""
    wanted = [entry for entry in entries if entry.name.startswith(name) and entry.name[0] != "."]
    return [
        f"{before}{entry.name}{'/' if entry.is_dir() else ''}"
        for entry in wanted
        if entry.is_dir() or entry.suffix in RECIPE_FILES
    ]
