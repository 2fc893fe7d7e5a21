"""What `--check` says of a configuration before anything is started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from secondread.errors import UserError
from secondread.service.processes.checks import check_service
from secondread.service.processes.embedded import embedded
from secondread.service.processes.prepare import hold_spool
from secondread.service.processes.roles import ROLES
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool


def findings(tmp_path: Path, *, load: bool = False, **settings: object) -> dict[str, tuple[str, str]]:
    given = {
        "spool": tmp_path / "spool",
        "bundles": [{"name": "b", "bundle": tmp_path / "none"}],
        "receive": {"port": 0},
        "page": {"port": 0},
        **settings,
    }
    found = check_service(ServiceSettings.model_validate(given), load=load)
    return {one.about: (one.kind, one.what) for one in found}


def test_looking_changes_nothing(tmp_path: Path) -> None:
    found = findings(tmp_path)
    assert {about: kind for about, (kind, _) in found.items()} == {
        "spool": "ok", "database": "ok", "receive": "ok", "page": "ok",
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_does_not_load_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "export.json").write_text("{}")
    kind, what = findings(tmp_path, load=True)["bundle b"]
    assert kind == "FAULT"
    assert "export.json" in what


def test_a_port_that_is_taken_is_a_fault(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert findings(tmp_path, page={"port": port})["page"] == (
            "FAULT", f"127.0.0.1, port {port}: another process listens there",
        )  # fmt: skip


def test_a_destination_that_is_away_is_a_warning(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    pacs = {"name": "pacs", "title": "PACS", "address": "127.0.0.1", "port": port}
    kind, what = findings(tmp_path, send={"dicom": [pacs]})["destination pacs"]
    assert kind == "warn"
    assert f"127.0.0.1:{port}" in what


def test_a_database_that_does_not_answer_is_a_fault_without_its_password(tmp_path: Path) -> None:
    kind, what = findings(tmp_path, database="postgresql+psycopg://me:secret@127.0.0.1:1/x")["database"]
    assert kind == "FAULT"
    assert "secret" not in what


def test_certificates_that_are_not_there_are_a_fault(tmp_path: Path) -> None:
    tls = {"certificate": tmp_path / "c.pem", "key": tmp_path / "k.pem"}
    assert findings(tmp_path, receive={"port": 0, "tls": tls})["receive.tls"][0] == "FAULT"


def test_a_bundle_alone_gets_a_configuration_that_stays(tmp_path: Path) -> None:
    (tmp_path / "my bundle").mkdir()
    file, settings = embedded(tmp_path / "my bundle", tmp_path / "service")
    assert (settings.spool.resolve(), settings.bundles[0].name) == (file.parent, "my-bundle")
    file.write_text(file.read_text() + "scorers: 3\n")
    assert embedded(tmp_path / "my bundle", tmp_path / "service")[1].scorers == 3
    with pytest.raises(UserError, match="reads with another bundle"):
        embedded(tmp_path, tmp_path / "service")


def test_whoever_comes_second_is_told_who_holds_the_spool(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    _, settings = embedded(tmp_path / "bundle", tmp_path / "service")
    Spool(settings.spool)
    with (
        hold_spool(settings, ROLES),
        pytest.raises(UserError, match=r"at work here already \(process \d+ on .*end it first"),
        hold_spool(settings, ROLES),
    ):
        pass


def test_further_machines_need_a_shared_database(tmp_path: Path) -> None:
    _, settings = embedded(tmp_path, tmp_path / "service")
    with pytest.raises(UserError, match="need a database that they share"), hold_spool(settings, ("scorer",)):
        pass
