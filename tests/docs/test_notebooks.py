"""The notebooks run; what a reader sees of them is of the cells as they stand, and names no machine."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(HERE.glob("*.ipynb"))
MOST_BYTES = 1_000_000
MACHINE = re.compile(r"/(home|root|tmp|Users|usr|opt|work|var)/|site-packages|[A-Z]:\\\\")
LINES = re.compile(r"^(preparing|training|scoring|fitting)|runs in")
"""What is shown of the time that something took."""


@pytest.fixture(scope="module")
def nbformat():
    return pytest.importorskip("nbformat")


@pytest.fixture(scope="module")
def execute():
    for name in ("nbclient", "ipykernel"):
        pytest.importorskip(name)
    spec = spec_from_file_location("execute_notebooks", HERE / "execute.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def codes(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell):
    """What each output is, in order; streams that follow each other are one."""
    found = []
    for output in cell.outputs:
        kind = ["stream"] if output.output_type == "stream" else sorted(output.data)
        if not (found and kind == found[-1] == ["stream"]):
            found.append(kind)
    return found


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["comparison", "first-steps", "own-detector"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_reader_sees_is_of_the_cells_as_they_stand(path, execute, nbformat) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata[execute.KEY] == execute.digest_of(notebook), (
        f"{path.name} was changed and not run again: python docs/notebooks/execute.py {path.stem}"
    )
    assert path.stat().st_size < MOST_BYTES
    assert MACHINE.findall(path.read_text(encoding="utf-8")) == []
    outputs = [output for cell in codes(notebook) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    assert [cell.execution_count for cell in codes(notebook)] == list(range(1, len(codes(notebook)) + 1))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_it_showed(path, execute, nbformat, tmp_path: Path) -> None:
    kept, now = nbformat.read(path, as_version=4), execute.executed(path, tmp_path)
    assert [kinds(cell) for cell in codes(now)] == [kinds(cell) for cell in codes(kept)]
    told = [
        output.data["text/plain"]
        for cell in codes(now)
        for output in cell.outputs
        if output.output_type == "display_data"
    ]
    assert told
    assert all(LINES.search(line) for line in told), "progress stays as one line"
