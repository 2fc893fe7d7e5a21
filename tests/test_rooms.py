"""The house as `docs/design.md` describes it: rooms whose arrows run one way, no folder too full, no file too
long."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from import_statements import imports_of

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "secondread"
MOST_FILES = 20
MOST_LINES = 400
"""Most files end below 300; the longest are methods, which are one file each."""
ROOMS = (
    "version",
    "errors",
    "tables",
    "packed",
    "texts",
    "natural_order",
    "wording",
    "parquet",
    "drawing",
    "settings",
    "registry",
    "terminal",
    "outputs",
    "strict",
    "images",
    "clusters",
    "cohorts",
    "datasets",
    "preprocessing",
    "metrics",
    "networks",
    "flows",
    "estimators",
    "anomalies",
    "detectors",
    "postprocessing",
    "tiling",
    "calibration",
    "scoring",
    "training",
    "tracking",
    "recipes",
    "bundles",
    "exporting",
    "fitting",
    "tuning",
    "readings",
    "results",
    "previews",
    "evaluation",
    "drift",
    "comparison",
    "transferring",
    "reports",
    "reproduction",
    "service",
    "cli",
    "__main__",
)
"""From the bottom up: a room imports from those before it alone. The package itself, which hands on the names
of its front door, stands above all."""


def module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in PACKAGE.rglob("*.py")}


def modules_named_in(file: Path) -> set[str]:
    """The package's modules that a file names in any import, whether at its top or in a function."""
    found = set()
    for node, _ in imports_of(file):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            assert node.level == 0, f"{file}: imports are written in full"
            name = node.module or ""
            found |= {
                f"{name}.{alias.name}" if f"{name}.{alias.name}" in MODULES else name for alias in node.names
            }
    return found & MODULES.keys()


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    return {module: modules_named_in(file) - {module} for module, file in MODULES.items()}


def room_of(module: str) -> str:
    return module.split(".")[1]


def test_no_files_import_one_another_in_a_circle(imports):
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


def test_rooms_import_only_from_rooms_below(imports):
    upwards = [
        f"{module} imports {other}"
        for module in imports.keys() - {"secondread"}
        for other in imports[module]
        if other == "secondread" or ROOMS.index(room_of(module)) < ROOMS.index(room_of(other))
    ]
    assert upwards == []


def check_one_way(imports: dict[str, set[str]]) -> None:
    """Files and folders side by side, at any depth: none imports, by what it holds, what imports it."""
    sides: dict[str, dict[str, set[str]]] = {}
    for module, others in imports.items():
        for other in others:
            own, its = module.split("."), other.split(".")
            depth = next((n for n, (a, b) in enumerate(zip(own, its, strict=False)) if a != b), None)
            if depth is not None:
                beside = sides.setdefault(".".join(own[:depth]), {})
                beside.setdefault(own[depth], set()).add(its[depth])
    for beside in sides.values():
        TopologicalSorter(beside).prepare()  # raises CycleError, which names the circle


def test_what_a_folder_holds_imports_one_another_in_one_way(imports):
    check_one_way(imports)


def test_benchmarks_import_one_another_in_one_way():
    """They find one another by their files' names alone."""
    files = list((ROOT / "benchmarks").rglob("*.py"))
    places = {file.stem: ".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files}
    imports: dict[str, set[str]] = {}
    for file in files:
        statements = [node for node, _ in imports_of(file)]
        names = {node.module for node in statements if isinstance(node, ast.ImportFrom)}
        names |= {alias.name for node in statements if isinstance(node, ast.Import) for alias in node.names}
        imports[places[file.stem]] = {places[name] for name in names & places.keys()}
    check_one_way(imports)


def test_every_room_has_its_place_in_the_order():
    assert {room_of(module) for module in MODULES if module != "secondread"} == set(ROOMS)


def test_no_two_tests_have_one_name():
    """Pytest would import the first of them in place of the second."""
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


@pytest.mark.parametrize("top", ["src", "tests", "benchmarks", "docs", "website"])
def test_no_folder_has_more_than_twenty_files(top):
    folders = [ROOT / top, *(path for path in (ROOT / top).rglob("*") if path.is_dir())]
    counts = {
        str(folder.relative_to(ROOT)): sum(path.is_file() for path in folder.iterdir())
        for folder in folders
        if "__pycache__" not in folder.parts and not folder.name.endswith(".egg-info")
    }
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES} == {}


def test_no_source_file_is_longer_than_four_hundred_lines():
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines())
        for file in PACKAGE.rglob("*.py")
    }
    assert {file: length for file, length in lengths.items() if length > MOST_LINES} == {}
