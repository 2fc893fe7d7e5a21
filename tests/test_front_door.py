"""What `import secondread` offers: every name is there, said, shown by an example, and the examples run."""

import doctest
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import secondread

DIFFERENT_EVERY_TIME = ("__version__",)
NAMES = [name for name in secondread.__all__ if name not in DIFFERENT_EVERY_TIME]
LONG = (
    "Decisions", "Evaluation", "Exported", "Readings", "calibrate", "compare", "figure", "figures", "sample",
    "suggest", "transfer", "tune", "write_dicom_results", "write_fhir_results", "write_report",
)  # fmt: skip
"""Their examples fit, judge or draw several times. What they do has quick tests of its own."""
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def examples_of(name: str) -> list[doctest.DocTest]:
    """The examples in the docstrings of a public object and, of a class, of what it defines itself."""
    found = doctest.DocTestFinder(exclude_empty=True).find(getattr(secondread, name), name, globs={})
    return [test for test in found if test.examples]


def run(test: doctest.DocTest) -> None:
    told: list[str] = []
    failed = doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=told.append).failed
    assert not failed, "".join(told)


@pytest.fixture(autouse=True, scope="module")
def one_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """As a person has it: the examples make the same phantoms, which are prepared once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECONDREAD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in NAMES]
)
def test_every_public_name_has_an_example_that_runs(name, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    tests = examples_of(name)
    assert tests, f"secondread.{name} shows no example"
    for test in tests:
        run(test)


def test_the_example_of_the_package_runs(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(doctest.DocTestParser().get_doctest(secondread.__doc__ or "", {}, "secondread", None, 0))


def test_all_names_are_listed_and_nothing_else() -> None:
    assert set(dir(secondread)) == set(secondread.__all__)
    assert all(inspect.getdoc(getattr(secondread, name)) for name in NAMES)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = secondread.nothing


def test_importing_the_package_imports_nothing_else() -> None:
    look = "import sys, secondread; print(sorted({'numpy', 'torch', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
