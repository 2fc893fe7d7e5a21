"""Every shell block of the README and of the documentation runs, in the order of its page, on small data.

A fit and a comparison are checked as far as `--dry-run` goes; in place of the fit's bundle the following
lines find one of the same cohorts with a detector that is fitted in a second. Whatever else there is is
done.
"""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from shown_data import FURTHER, films
from typer.testing import CliRunner, Result

from secondread.cli.main import app
from secondread.cohorts.manifest import Manifest
from secondread.detectors import DETECTORS
from secondread.detectors.contract import Generative
from secondread.fitting.checks.first_look import Look, first_look
from secondread.fitting.fit import fit
from secondread.recipes.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
OWN_TESTS = {"README.md", "docs/adding-a-method.md"}
"""Pages whose `secondread` lines are run by tests of their own: on a built wheel, and with the files that the
page shows."""
PAGES = [
    str(page.relative_to(ROOT))
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if "\n```sh\n" in page.read_text(encoding="utf-8")
]
FIRST = [page for page in PAGES if page.startswith(("README", "docs/start/")) and "first-steps" not in page]
"""Pages of whoever begins, but for the longest. The others are slow tests; `test_docs` looks at the commands
of all, and `cli/test_commands` takes the first steps."""
SMALLER = {"cohorts.unlabelled=4000": "cohorts.unlabelled=40"}
"""Numbers of a published protocol, and what stands for them in data of our size."""
LONG = {"demo", "reproduce", "transfer", "tune"}
"""Commands of many fits: here their arguments are read, and tests of their own run them."""
LOOKED_AT: set[str | None] = set()
"""Recipes of which `--dry-run` was asked already; a further fit of one has its first look alone."""
FINDINGS = {"check", "doctor"}
"""Commands whose exit code 1 is an answer."""
ELSEWHERE = re.compile(r"(?<![\w.])/(archive|incoming|scratch|shared)/")
"""Folders of a hospital's or a cluster's disk, which lie in the page's folder here."""
WITHOUT_WEIGHTS = re.compile(r"encoder (?:weights|model) not (?:found|given)|encoder model [\w/-]+: ")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]
CONSTRAINTS = {
    line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
}
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def lines_of(page: str) -> list[str]:
    """The lines of the page's shell blocks, continued ones joined."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    joined = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in joined if line.strip() and not line.startswith("#")]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    films(folder)
    return folder


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[] if page in FIRST else [pytest.mark.slow]) for page in PAGES]
)
def test_the_shell_blocks_of_a_page_run_in_their_order(
    page: str, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "films").symlink_to(library / "films")
    lines = lines_of(page)
    if not any("-o manifest.csv" in line for line in lines):
        shutil.copy(library / "manifest.csv", tmp_path)
    FURTHER.get(page, lambda folder: None)(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECONDREAD_CACHE", str(tmp_path / "cache"))
    for place, line in enumerate(lines):
        for number, smaller in SMALLER.items():
            line = line.replace(number, smaller)
        words = shlex.split(ELSEWHERE.sub(r"\1/", line), comments=True)
        run(page, words, line, "\n".join(lines[place + 1 :]).replace(".epochs/epoch-00005", ""))


def run(page: str, words: list[str], line: str, later: str) -> None:
    match words:
        case ["torchrun", *_]:
            run(page, words[words.index("secondread") :], line, later)
        case ["secondread", *_] | ["python", "phantoms.py"] if page in OWN_TESTS:
            pass
        case ["secondread", *rest]:
            secondread(page, rest, line, later)
        case ["pip", "install", *wanted]:
            installable(wanted, line)
        case ["make", *targets]:
            assert set(targets) <= TARGETS, line
        case [".", ".venv/bin/activate"] | ["python3", "-m", "venv", ".venv"] | ["hf", "download", *_]:
            pass
        case _:
            raise AssertionError(f"{line}: the test does not know this command")


def installable(wanted: list[str], line: str) -> None:
    """The extras are ours, and the packages those that the tests are run with."""
    named = [word for word in wanted if not word.startswith(("-", "http"))]
    for word in named:
        package, _, extras = word.strip("'\"").rstrip("]").partition("[")
        if package == ".":
            assert set(filter(None, extras.split(","))) <= EXTRAS.keys(), line
        elif word != "constraints.txt":
            assert package.lower() in CONSTRAINTS, line


def secondread(page: str, words: list[str], line: str, later: str) -> None:
    target = None
    if ">" in words:
        words, target = words[: words.index(">")], Path(words[words.index(">") + 1])
    command, *rest = words
    if command in LONG:
        given = typer.main.get_command(app).commands[command].make_context(command, rest).params
        if command == "tune":
            Path(given["output"]).mkdir()
            (Path(given["output"]) / "best.yaml").write_text(Recipe.load(given["recipe"]).to_yaml())
        return
    if command in ("fit", "compare"):
        checked(page, [word for word in words if word != "--download-weights"], line, later)
        return
    if command in ("index", "check", "score", "calibrate"):
        rest += ["--workers", "0"]  # a worker takes a second to start, in each command
    if command == "evaluate":
        rest += ["--bootstrap", "20"]
    result = CliRunner().invoke(app, [command, *rest])
    assert result.exit_code in ({0, 1} if command in FINDINGS else {0}), told(line, result)
    if target is not None:
        target.write_text(result.stdout, encoding="utf-8")


def checked(page: str, words: list[str], line: str, later: str) -> None:
    """A fit or a comparison would run, but for weights that somebody has to fetch. On the pages of methods,
    whose detectors other tests build, a fit has its first look alone."""
    command = typer.main.get_command(app).commands[words[0]]
    given = command.make_context(words[0], words[1:]).params
    known = page.startswith("docs/methods/") or given.get("recipe") in LOOKED_AT
    if words[0] == "fit" and known:
        recipe = Recipe.load(given["recipe"], set=list(given["settings"] or ()))
        looked = first_look(recipe, Manifest.read(given["manifest"]), Look(), out=Path(given["output"]))
        reasons = [problem.text for problem in looked]
    else:
        LOOKED_AT.add(given.get("recipe"))
        result = CliRunner().invoke(app, [*words, "--dry-run"])
        assert isinstance(result.exception, SystemExit | None), told(line, result)
        reasons = [one for one in result.output.splitlines() if result.exit_code and one.strip()]
    assert [one for one in reasons if not WITHOUT_WEIGHTS.search(one)] == [], line
    if words[0] == "fit":
        name = re.escape(str(given["output"]))
        if re.search(rf"(?:score|sample|calibrate) {name}\b", later):
            stand_in(given, weights=False)
        elif re.search(rf"weights={name}\b", later):
            stand_in(given, weights=True)


def stand_in(given: dict[str, Any], weights: bool) -> None:
    """A bundle where the fit would have put its own: of the same rows, and of a detector that draws images
    where the fit's does. `weights`: it is the smallest form of the fit's own detector, whose network another
    fit takes."""
    recipe = Recipe.load(given["recipe"], set=list(given["settings"] or ()))
    kind = DETECTORS.find(recipe.detector["name"])
    size = [min(side, 16) for side in recipe.preprocessing.size]
    values = {
        "cohorts": {**recipe.cohorts.model_dump(mode="json"), "max_normal": 20},
        "preprocessing": {"size": size, "files": recipe.preprocessing.files},
        "detector": {"name": "spectrum"},
    }
    if weights or issubclass(kind, Generative):
        tiny = (kind if weights else DETECTORS.find("f-anogan")).tiny(len(size))
        values["detector"] = tiny.settings.model_dump(mode="json")
        values["stages"] = {name: stage.model_dump(mode="json") for name, stage in tiny.stages.items()}
        values["preprocessing"]["size"] = list(tiny.size)
    out = Path(given["output"])
    assert not out.exists(), f"{out}: an earlier line of the page has made it"
    fit(Recipe.from_mapping(values), given["manifest"], out, workers=0, progress=False)
    for every in filter(None, (stage.keep_every for stage in recipe.stages.values())):
        shutil.copytree(out, Path(f"{out}.epochs") / f"epoch-{every:05}")


def told(line: str, result: Result) -> str:
    return f"{line}\n{result.output}\n{result.exception!r}"
