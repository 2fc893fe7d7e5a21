import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image as Picture
from typer.testing import CliRunner

from secondread.bundles.bundle import Bundle
from secondread.calibration.description import describe
from secondread.cli.application import application
from secondread.cli.main import app
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row

runner = CliRunner()


def run(*arguments: object, code: int = 0) -> str:
    """Run a command in this process; returns what it printed, stderr included."""
    result = runner.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.output
    return result.output


def one_error(output: str) -> str:
    lines = [line for line in output.splitlines() if line.startswith("secondread: ")]
    assert len(lines) == 1, output
    return lines[0]


@pytest.fixture
def manifest(phantoms: Manifest) -> Path:
    return phantoms.base / "manifest.csv"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(
        "preprocessing: {size: [32, 32]}\ndetector: {name: spectrum, bands: 8}\n"
        "cohorts: {validation: 0.2, calibration: 0.3}\n"
    )
    return file


def test_help_names_every_command_and_loads_no_package_that_it_does_not_print_with() -> None:
    """What makes help slow is what it imports; `benchmarks/speed/start.py` says how long it takes."""
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from secondread.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--help"], capture_output=True, text=True, check=True
    )
    names = done.stderr.split()
    packages = {name.partition(".")[0] for name in names}
    of_python = {name for name in packages & sys.stdlib_module_names if not name.startswith("_")}
    packages -= sys.stdlib_module_names
    assert packages <= {"secondread", "typer", "shellingham", "annotated_doc", "__main__", "_distutils_hack"}
    assert len(of_python) < 90  # whatever parts a version of Python gives them
    assert sum(name.partition(".")[0] in packages for name in names) < 120
    for name in (
        "demo",
        "index",
        "split",
        "check",
        "fit",
        "score",
        "calibrate",
        "threshold",
        "worklist",
        "evaluate",
        "sample",
        "anomalies",
        "recipes",
        "doctor",
    ):
        assert f"\n  {name} " in done.stdout


def test_help_imports_neither_torch_nor_numpy() -> None:
    look = (
        "import sys; from secondread.cli.application import app; "
        "print(sorted({'torch', 'numpy', 'rich', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_command_that_is_asked_for_is_alone_imported_and_answers_as_among_all() -> None:
    look = (
        "import sys, secondread.cli.application; secondread.cli.application.application('score'); "
        "print(sum(name.startswith('secondread.cli.commands.') and hasattr(module, 'typer') "
        "for name, module in sys.modules.items()))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
    for name in ("score", "fit"):
        alone = runner.invoke(application(name), [name, "--help"], prog_name="secondread")
        assert alone.output == runner.invoke(app, [name, "--help"], prog_name="secondread").output


def test_the_main_job_step_by_step(manifest: Path, small: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    printed = run(
        "fit", small, manifest, "-o", tmp_path / "b", "--cache", cache, "--workers", 0, "--device", "cpu"
    )
    assert printed.strip().endswith(str(tmp_path / "b"))
    record = json.loads((tmp_path / "b.run.json").read_text())
    assert record["command"]
    assert record["versions"]["torch"]
    assert record["durations"]["total"] > 0
    assert record["digests"]["bundle"] == Bundle.load(tmp_path / "b").digest

    run("score", tmp_path / "b", manifest, "-o", tmp_path / "out", "--where", "split=test", "--workers", 0)
    run("evaluate", tmp_path / "out" / "readings.csv", manifest, "-o", tmp_path / "report", "--bootstrap", 50)
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert [metrics["n"][name] for name in ("normal", "abnormal", "failed")] == [6, 6, 0]
    assert (tmp_path / "report" / "report.html").is_file()
    assert (tmp_path / "report" / "run.json").is_file()
    assert metrics["command"]
    run("score", tmp_path / "b", manifest, "-o", tmp_path / "out", "--where", "split=test", "--workers", 0)


def test_fitting_again_loads_what_is_there_and_resume_is_accepted_still(
    manifest: Path, small: Path, tmp_path: Path
) -> None:
    command = (
        "fit",
        small,
        manifest,
        "-o",
        tmp_path / "b",
        "--cache",
        tmp_path / "cache",
        "--workers",
        0,
        "-q",
    )
    run(*command)
    assert str(tmp_path / "b") in run(*command)
    run(*command, "--resume")


def test_index_split_and_check(phantoms: Manifest, tmp_path: Path) -> None:
    run("index", phantoms.base / "train", "-o", tmp_path / "m.csv", "--workers", 0)
    rows = Manifest.read(tmp_path / "m.csv").rows
    assert {row.label for row in rows} == {"normal"}
    said = run("split", tmp_path / "m.csv", "-o", tmp_path / "s.csv", "--test", 0.3, "--seed", 3, "--again")
    assert f"{len(rows)} of {len(rows)} images have neither patient id nor study id" in said
    assert {row.split for row in Manifest.read(tmp_path / "s.csv").rows} == {"train", "test"}
    run("check", tmp_path / "s.csv", "--workers", 0)
    table = (tmp_path / "s.csv").read_bytes()
    said = run("check", tmp_path / "s.csv", "--workers", 0, "-o", tmp_path / "s.csv", code=2)
    assert "is read by this command" in one_error(said)
    assert (tmp_path / "s.csv").read_bytes() == table
    constant = phantoms.base / "train" / "constant.png"
    Picture.new("L", (48, 48), 7).save(constant)
    try:
        run("index", phantoms.base / "train", "-o", tmp_path / "m.csv", "--workers", 0)
        assert "constant" in run(
            "check", tmp_path / "m.csv", "--workers", 0, "-o", tmp_path / "f.csv", code=1
        )
    finally:
        constant.unlink()
    assert (tmp_path / "f.csv").read_text().startswith("severity,kind,finding,paths")


def a_site(folder: Path) -> Path:
    """A manifest of 25 normals of patients that nobody has seen."""
    lines = ["path,label,patient_id"]
    for i in range(25):
        Picture.effect_noise((48, 48), 5 + i).save(folder / f"{i}.png")
        lines.append(f"{i}.png,normal,p{i}")
    (folder / "site.csv").write_text("\n".join(lines) + "\n")
    return folder / "site.csv"


def test_calibrate(copied: Path, phantoms: Manifest, tmp_path: Path) -> None:
    command = (
        "calibrate",
        copied,
        a_site(tmp_path),
        "-o",
        tmp_path / "c",
        "--cache",
        tmp_path / "cache",
    )
    run(*command, "--false-alarm-rate", 0.1, "--workers", 0)
    assert describe(Bundle.load(tmp_path / "c").calibration)["false_alarm_rate"] == 0.1
    assert "already" in one_error(run(*command, code=2))
    assert "between 0 and 1" in one_error(
        run(*command[:3], "-o", tmp_path / "d", "--false-alarm-rate", 2, code=2)
    )


def test_calibrate_says_the_promise_in_words(copied: Path, tmp_path: Path) -> None:
    site = a_site(tmp_path)
    command = ("calibrate", copied, site, "--cache", tmp_path / "cache", "--workers", 0)
    said = run(*command, "-o", tmp_path / "c", "--false-alarm-rate", 0.1)
    assert "At most 10 % of new normal images are flagged" in said
    assert "{" not in said
    said = run(*command, "-o", tmp_path / "d", "--false-alarm-rate", 0.01)
    assert "warning: Too few calibration normals: 25 patients" in said
    assert "No image can be flagged" in said
    assert run(*command, "-o", tmp_path / "e", "-q").strip() == str(tmp_path / "e")


def test_fit_and_score_say_that_nothing_can_be_flagged(manifest: Path, small: Path, tmp_path: Path) -> None:
    fitting = ("fit", small, manifest, "-o", tmp_path / "b", "--cache", tmp_path / "cache", "--workers", 0)
    assert "No image can be flagged" in run(*fitting)
    record = json.loads((tmp_path / "b.run.json").read_text())
    assert record["cache"]["folder"] == str(tmp_path / "cache")
    assert record["cache"]["bytes"] > 0
    assert not record["calibration"]["images"]["enough"]
    scoring = ("score", tmp_path / "b", manifest, "--where", "split=test", "--workers", 0)
    said = run(*scoring, "-o", tmp_path / "o", "--cache", tmp_path / "cache")
    assert "warning: Too few calibration normals" in said
    assert json.loads((tmp_path / "o" / "run.json").read_text())["cache"]["bytes"] > 0
    assert run(*scoring, "-o", tmp_path / "q", "-q").strip() == str(tmp_path / "q" / "readings.csv")


def test_unreadable_files_leave_index_fit_and_calibrate_partial(
    phantoms: Manifest, copied: Path, small: Path, tmp_path: Path
) -> None:
    rows = phantoms.rows
    films = tmp_path / "films"
    films.mkdir()
    (films / "text.png").write_text("words")
    broken = Row(str(films / "text.png"), "train", "normal", patient_id="broken")
    partial = replace(phantoms, rows=(*rows, broken)).write(tmp_path / "partial.csv")
    said = run("index", films, "-o", tmp_path / "m.csv", "--workers", 0, code=3)
    assert "text.png" in said
    Picture.new("L", (8, 8)).save(films / "film.png")
    run("index", films, "-o", tmp_path / "m.csv", "--workers", 0, code=1)
    assert [row.path for row in Manifest.read(tmp_path / "m.csv").rows] == ["films/film.png"]

    cache = ("--cache", tmp_path / "cache", "--workers", 0)
    said = run("fit", small, partial, "-o", tmp_path / "b", *cache, code=1)
    assert "cannot be read: 1 of cohort" in said
    assert Bundle.load(tmp_path / "b").provenance.unreadable
    assert sum(json.loads((tmp_path / "b.run.json").read_text())["unreadable"].values()) == 1

    site = a_site(tmp_path)
    site.write_text(site.read_text() + "films/text.png,normal,broken\n")
    said = run("calibrate", copied, site, "-o", tmp_path / "c", *cache, code=1)
    assert re.search(r"\n1 of \d+ normals cannot be read and are left out; `check` lists them", said)
    assert Bundle.load(tmp_path / "c").calibration.images.patients == 25


def test_a_split_file_with_names_that_are_not_there_leaves_index_partial(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for name in ("n.png", "u.png"):
        Picture.new("L", (8, 8)).save(films / name)
    lists = {"train": {"0": ["n.png"], "unlabeled": {"0": ["u.jpg"], "1": ["gone.png"]}}, "test": {}}
    (tmp_path / "data.json").write_text(json.dumps(lists))
    command = (
        "index",
        films,
        "--split-file",
        tmp_path / "data.json",
        "-o",
        tmp_path / "m.csv",
        "--workers",
        0,
    )
    said = run(*command, code=1)
    assert "1 of 3 names" in said
    assert "gone.png" in said
    assert json.loads((tmp_path / "m.csv.run.json").read_text())["missing"] == ["gone.png"]
    assert [row.value("pool") for row in Manifest.read(tmp_path / "m.csv").rows] == ["", "unlabelled"]
    (tmp_path / "data.json").write_text("[]")
    assert "data.json: the file is no object" in one_error(run(*command, code=2))


def test_check_with_notes_alone_does_not_say_nothing_found(phantoms: Manifest, tmp_path: Path) -> None:
    rows = tuple(replace(row, patient_id="", study_id="") for row in phantoms.rows)
    noted = replace(phantoms, rows=rows).write(tmp_path / "noted.csv")
    said = run("check", noted, "--workers", 0)
    assert "note: 42 of 42 images have no patient id" in said
    assert "nothing found" not in said
    assert "nothing but 1 note" in said
    quiet = run("check", noted, "--workers", 0, "-q", "-o", tmp_path / "f.csv")
    assert quiet.strip() == str(tmp_path / "f.csv")
    assert "note,patients" in (tmp_path / "f.csv").read_text()


def test_a_mistake_in_a_setting_names_the_preset_or_file(manifest: Path, small: Path, tmp_path: Path) -> None:
    rest = (manifest, "-o", tmp_path / "b", "--set", "detector.bnds=3")
    assert "preset spectrum: detector.bnds" in one_error(run("fit", "spectrum", *rest, code=2))
    assert f"{small}: detector.bnds" in one_error(run("fit", small, *rest, code=2))


def test_evaluate_refuses_impossible_shares_and_too_few_resamples(manifest: Path, tmp_path: Path) -> None:
    command = ("evaluate", tmp_path / "readings.csv", manifest, "-o", tmp_path / "r")
    assert "between 0 and 1" in one_error(run(*command, "--prevalence", 1, code=2))
    assert "--bootstrap" in run(*command, "--bootstrap", 19, code=2)


def test_recipes_lists_and_prints() -> None:
    assert "aeflow-paper" in run("recipes")
    assert "detector:" in run("recipes", "aeflow")
    assert "did you mean" in one_error(run("recipes", "aeflw", code=2))


def test_doctor_examines(tmp_path: Path) -> None:
    assert "JPEG lossless" in run("doctor", "--cache", tmp_path / "cache")
    found = json.loads(run("doctor", "--json", "--cache", tmp_path / "cache"))
    names = {finding["name"] for finding in found}
    assert {"versions", "threads", "torchvision", "transformers", "own encoders", "cache"} <= names
    (cache,) = [finding["what"] for finding in found if finding["name"] == "cache"]
    assert "holds" in cache
    assert "bytes" in cache


def test_doctor_finds_a_limit_that_is_no_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDREAD_CACHE_LIMIT", "lots")
    assert "FAULT  cache" in run("doctor", "--cache", tmp_path / "cache", code=1)
