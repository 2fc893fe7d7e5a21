"""`secondread service backup`, `restore` and `erase` at the command line."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner
from upkeep_service import NAME, Service

from secondread.cli.main import app


def run(*words: object, given: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(app, ["service", *map(str, words)], input=given)
    return done.exit_code, done.output


def test_a_service_is_backed_up_erased_from_and_put_back(service: Service, tmp_path: Path) -> None:
    config = tmp_path / "service.yaml"
    config.write_text(
        "spool: spool\nbundles: [{bundle: b, name: none}]\nupkeep: {backups: nights}\n", "utf-8"
    )
    service.study("1.1", patient="P-1")
    service.study("1.2", patient="P-2")
    code, said = run("backup", config, "-o", tmp_path / "b", "--spool")
    assert (code, said.splitlines()) == (0, ["2 studies; audit head none", str(tmp_path / "b")])
    code, said = run("erase", config, "--patient", "-", given="P-1\nn\n")
    assert code == 0
    assert "Erase 1 study, 2 instances, 1 reading, 2 results, 1 verdict, 1 job?" in said
    assert service.states()["1.1"] == "read"
    code, said = run("erase", config, "--patient", "P-1", "--yes")
    assert (code, said.splitlines()[0]) == (
        0, "erased: 1 study, 2 instances, 1 reading, 2 results, 1 verdict, 1 job",
    )  # fmt: skip
    assert "backups that were made by hand still hold it" in said
    assert "the archive that sent the images still holds them" in said
    assert not any(word in said for word in ("P-1", NAME))
    assert run("erase", config, "--patient", "P-1", "--yes")[0] == 2
    service.database.close()
    code, said = run("restore", config, tmp_path / "b")
    assert (code, "--force" in said) == (2, True)
    code, said = run("restore", config, tmp_path / "b", "--force")
    assert (code, "5 files were put into the spool" in said, "send again what came after" in said) == (
        0, True, True,
    )  # fmt: skip
    assert service.states() == {"1.1": "read", "1.2": "read"}
