"""What `--check` says of a configuration before anything is started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from secondread.bundles.bundle import Bundle
from secondread.cli.main import app
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
    kind, what = findings(tmp_path, receive={"port": 0, "tls": tls})["receive.tls"]
    assert kind == "FAULT"
    assert f"{tmp_path / 'c.pem'}, {tmp_path / 'k.pem'}: cannot be used" in what


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


def refused(tmp_path: Path, **settings: object) -> str:
    """What is said of a configuration that is not taken."""
    file = tmp_path / "service.yaml"
    given = {"spool": "spool", "bundles": [{"name": "b", "bundle": "none"}], **settings}
    file.write_text(yaml.safe_dump(given))
    with pytest.raises(UserError) as caught:
        ServiceSettings.load(file)
    return str(caught.value)


def test_what_could_never_work_is_refused(tmp_path: Path) -> None:
    both = refused(tmp_path, receive={"port": 8080}, page={"port": 8080})
    assert "receive and page both listen on port 8080" in both
    nobody = refused(tmp_path, bundles=[{"name": "b", "bundle": "none", "takes": {"age": [90, 10]}}])
    assert "bundles.0.takes is " in nobody
    assert "takes nobody" in nobody
    peers = [{"title": "CT1", "address": address} for address in ("10.0.0.1", "10.0.0.2")]
    assert "the title 'CT1' stands twice among the peers" in refused(tmp_path, receive={"peers": peers})
    pacs = {"name": "pacs", "title": "PACS", "address": "10.0.0.1", "objects": []}
    assert "send.dicom.0.objects is []" in refused(tmp_path, send={"dicom": [pacs]})


def test_relative_paths_of_certificates_are_beside_the_configuration(tmp_path: Path) -> None:
    tls = {"certificate": "own.pem", "key": "own.key", "authority": "/etc/ca.pem"}
    receive = {"tls": tls, "peers": [{"title": "CT1", "address": "10.0.0.1", "tls": tls}]}
    given = {"spool": "spool", "bundles": [{"name": "b", "bundle": "none"}], "receive": receive}
    (tmp_path / "service.yaml").write_text(yaml.safe_dump(given))
    found = ServiceSettings.load(tmp_path / "service.yaml").receive
    for side in (found.tls, found.peers[0].tls):
        assert side is not None
        assert (side.certificate, side.key) == (tmp_path / "own.pem", tmp_path / "own.key")
        assert side.authority == Path("/etc/ca.pem")


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    given = {"spool": "~/spool", "bundles": [{"name": "b", "bundle": "~/b", "shadow": ["~/c"]}]}
    (tmp_path / "service.yaml").write_text(yaml.safe_dump({**given, "upkeep": {"backups": "~/backups"}}))
    found = ServiceSettings.load(tmp_path / "service.yaml")
    places = [found.spool, found.bundles[0].bundle, *found.bundles[0].shadow, Path(found.upkeep.backups)]
    assert places == [tmp_path / "home" / name for name in ("spool", "b", "c", "backups")]


@pytest.mark.parametrize(("text", "said"), [("", "is empty; "), ("a,b\n1,2\n", "is no configuration; ")])
def test_a_file_without_settings_is_told_what_a_configuration_is(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "service.yaml").write_text(text)
    with pytest.raises(UserError, match=f"service.yaml: {said}a configuration is YAML with names and values"):
        ServiceSettings.load(tmp_path / "service.yaml")


def test_a_bundle_that_is_named_twice_is_a_fault(fitted: Bundle, tmp_path: Path) -> None:
    one = {"name": "b", "bundle": fitted.path, "shadow": [fitted.path]}
    found = findings(tmp_path, load=True, bundles=[one, {"name": "c", "bundle": fitted.path}])
    assert found["bundle b"][0] == "ok"
    for about in ("shadow of b", "bundle c"):
        assert found[about] == (
            "FAULT",
            f"{fitted.path}: is the bundle that stands as b already; name it once",
        )


def test_a_peer_whose_host_is_unknown_is_a_warning(tmp_path: Path) -> None:
    peers = [{"title": "CT1", "address": "nowhere.invalid"}, {"title": "CT2", "address": "127.0.0.1"}]
    found = findings(tmp_path, receive={"port": 0, "peers": peers})
    kind, what = found["peer CT1"]
    assert kind == "warn"
    assert what.startswith("nowhere.invalid: no such host (")
    assert "peer CT2" not in found


def test_backups_that_cannot_be_written_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kind, what = findings(tmp_path, upkeep={"backups": str(tmp_path / "file" / "x")})["backups"]
    assert kind == "warn"
    assert str(tmp_path / "file") in what
    assert findings(tmp_path, upkeep={"backups": str(tmp_path / "new")})["backups"][0] == "ok"


def test_what_is_neither_a_bundle_nor_a_configuration_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "readings").mkdir()
    for place, said in (("readings", "no bundle here"), ("gone", "no such file or folder")):
        given = ["serve", str(tmp_path / place), "--spool", str(tmp_path / "spool"), "--check"]
        done = CliRunner().invoke(app, given)
        assert done.exit_code == 2
        assert said in done.output
    assert not (tmp_path / "spool").exists()
