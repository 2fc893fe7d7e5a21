"""`secondread service send` and `echo`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from listeners import Pacs, Ris
from sqlalchemy import select
from typer.testing import CliRunner, Result
from waiting import NAME, QUICK, Waiting

from secondread.cli.application import app
from secondread.service.store.migrate import migrate
from secondread.service.store.tables import Audit


def asked(*words: str) -> Result:
    return CliRunner().invoke(app, ["service", *words])


@pytest.fixture
def served(tmp_path: Path) -> tuple[Waiting, Pacs, Path]:
    """A service with an archive and a receiver of HL7, and its configuration."""
    pacs = Pacs()
    send = {
        "dicom": [{"name": "pacs", "title": "PACS", "address": "127.0.0.1", "port": pacs.port}],
        "hl7": [{"name": "ris", "address": "127.0.0.1", "port": 9}],
    }
    given = {"spool": "spool", "bundles": [{"name": "chest", "bundle": "bundle"}], "send": {**QUICK, **send}}
    config = tmp_path / "service.yaml"
    config.write_text(yaml.safe_dump(given))
    return Waiting(tmp_path, send, prepare=migrate), pacs, config


def test_a_study_is_sent_again_by_its_number_and_the_audit_says_by_whom(
    served: tuple[Waiting, Pacs, Path],
) -> None:
    waiting, pacs, config = served
    waiting.add()
    with pacs.listening(), waiting.sending():
        waiting.until(lambda: waiting.states() == ["waiting", "done"])
        found = asked("send", str(config), "1", "--to", "pacs")
        assert (found.exit_code, found.stdout) == (0, "pacs\tdone\n")
        late = asked("send", str(config), "A~77", "--wait", "0")
    assert late.exit_code == 1
    assert pacs.stored[:4] == waiting.uids * 2
    with waiting.database.read() as session:
        told = [(row.action, row.detail) for row in session.scalars(select(Audit).order_by(Audit.id))]
    assert told == [("sent again", "pacs"), ("sent again", "pacs, ris")]


def test_what_was_set_aside_leaves_again_when_its_cause_is_mended(served: tuple[Waiting, Pacs, Path]) -> None:
    waiting, pacs, config = served
    waiting.add(2)
    pacs.answers = [0xC000]
    with pacs.listening(), waiting.sending():
        waiting.until(lambda: waiting.states().count("set aside") == 2)
        pacs.answers[:] = [0]
        found = asked("send", str(config), "--set-aside", "--to", "pacs")
        assert (found.exit_code, found.stdout) == (0, "pacs\tdone\n" * 2)
    assert sorted(pacs.stored) == sorted(waiting.uids)
    assert ("not delivered", "pacs", False) in waiting.alarms()


def test_where_nothing_was_set_aside_that_is_said(served: tuple[Waiting, Pacs, Path]) -> None:
    _, _, config = served
    found = asked("send", str(config), "--set-aside", "--to", "pacs")
    assert (found.exit_code, found.stdout) == (0, "")
    assert "nothing was set aside for pacs" in found.stderr


def test_wrong_use_is_one_line(served: tuple[Waiting, Pacs, Path]) -> None:
    waiting, _, config = served
    waiting.add()
    for words, code, said in (
        (["1", "--to", "nowhere"], 2, "there are pacs, ris"),
        (["4711"], 3, "no such study is here"),
        ([], 2, "give a study, or --set-aside"),
    ):
        found = asked("send", str(config), *words)
        assert (found.exit_code, said in found.stderr) == (code, True), found.stderr
        assert NAME not in found.output


def test_echo_tells_who_is_there(served: tuple[Waiting, Pacs, Path]) -> None:
    _, pacs, config = served
    with pacs.listening():
        found = asked("echo", str(config))
    lines = [line.split("\t")[:3] for line in found.stdout.splitlines()]
    assert lines == [["ris", "away", "127.0.0.1:9: nobody listens there"], ["pacs", "there", "C-ECHO"]]
    assert found.exit_code == 1
    with pacs.listening(), Ris().listening() as ris:
        config.write_text(config.read_text().replace("port: 9\n", f"port: {ris.port}\n"))
        assert asked("echo", str(config)).exit_code == 0
    assert (pacs.stored, ris.messages) == ([], [])
