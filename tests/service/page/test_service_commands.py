"""`secondread service`: people, senders and the audit from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.service.page.people import passwords
from secondread.service.page.stow.senders import Senders
from secondread.service.settings.service import ServiceSettings
from secondread.service.store.database import Database
from secondread.service.store.tables import Person

SECRET = "four words of mine"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "service.yaml"
    file.write_text(
        "spool: spool\nbundles: [{bundle: b, name: chest}]\npage: {senders_file: senders.txt}\n", "utf-8"
    )
    return file


def run(*words: object, given: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(app, ["service", *map(str, words)], input=given)
    return done.exit_code, done.output


def test_people_are_added_listed_and_changed(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from made_page import QUICK

    monkeypatch.setattr(passwords, "PasswordHasher", lambda: QUICK)
    assert run("person", "add", config, "ada", "--role", "administrator", given=f"{SECRET}\n") == (0, "")
    assert run("person", "add", config, "bob", given=f"{SECRET}\n") == (0, "")
    assert run("person", "role", config, "bob", "reader")[0] == 0
    assert run("person", "disable", config, "bob")[0] == 0
    assert run("person", "show", config) == (0, "ada\tadministrator\nbob\treader\tdisabled\n")
    code, said = run("person", "disable", config, "ada")
    assert (code, "last administrator" in said) == (2, True)
    code, said = run("person", "passwd", config, "ada", given="short\n")
    assert (code, "12 to 1000" in said) == (2, True)
    code, said = run("person", "add", config, "ADA", given=f"{SECRET}\n")
    assert (code, "ada is there already" in said) == (2, True)
    code, said = run("person", "add", config, "eve", "--role", "king", given=f"{SECRET}\n")
    assert (code, "there is no role 'king'" in said) == (2, True)
    database = Database(ServiceSettings.load(config).database_url)
    with database.read() as session:
        kept = session.get(Person, "ada")
        assert kept is not None
        assert kept.password.startswith("$argon2id$")
    database.close()

    code, said = run("audit", config)
    assert code == 0
    assert [line.split("\t")[4] for line in said.splitlines()] == [
        "added ada as administrator",
        "added bob as viewer",
        "bob: viewer is now reader",
        "disabled bob",
    ]
    assert SECRET not in said
    code, said = run("audit", config, "--verify")
    assert said.startswith("4 rows agree; head ")
    assert run("audit", config, "--verify", "--head", said.split()[-1])[0] == 0
    assert run("audit", config, "--verify", "--head", "ab")[0] == 1


def test_a_sender_s_token_is_shown_once_and_kept_as_a_hash(config: Path) -> None:
    code, token = run("sender", "add", config, "ct-1")
    assert code == 0
    file = config.parent / "senders.txt"
    assert token.strip() not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    known = Senders(file)
    assert known.sender_of(token.strip()) == "ct-1"
    assert known.sender_of("another") is None
    assert run("sender", "show", config) == (0, "ct-1\n")
    assert run("sender", "remove", config, "ct-1")[0] == 0
    assert known.sender_of(token.strip()) is None


@pytest.mark.parametrize(
    "words",
    [
        ("audit",), ("alarms",), ("person", "show"), ("erase", "--patient", "x", "--yes"), ("send", "1"),
        ("report", "--month", "2026-11", "-o", "report.html"), ("labels", "-o", "labels.csv"),
    ],
)  # fmt: skip
def test_a_spool_without_a_service_is_told_and_not_made(config: Path, words: tuple[str, ...]) -> None:
    told = 1 if words[0] != "person" else 2
    code, said = run(*words[:told], config, *words[told:])
    assert code == 2
    if words[0] != "send":  # which misses a destination first
        assert f"{config.parent / 'spool'}: there is no service yet; start it with" in said
    assert not (config.parent / "spool").exists()
