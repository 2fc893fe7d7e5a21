"""What `deploy/` names is there: files, extras, commands, options, routes, and the time that an end takes.

No container is built: the steps of the Dockerfile are read, and what they copy and call is looked at.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer
import yaml

from secondread.cli.main import app
from secondread.service.page.routes import watched
from secondread.service.processes.parent import STOP_S
from secondread.service.settings.service import ServiceSettings

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MOST_EXPOSED = 30
"""Tenths of what `systemd-analyze security` gives; 20 is the best that a service on the network gets."""


def steps() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, with what follows each."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text("utf-8"), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def said(instruction: str) -> list[str]:
    return [rest for name, rest in steps() if name == instruction]


def parses(words: list[str]) -> None:
    """The command and its options exist; nothing is carried out."""
    group = typer.main.get_command(app)
    name, command = words[0], group.commands[words[0]]  # type: ignore[attr-defined]
    command.make_context(name, words[1:]).close()


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))


def test_the_dockerfile_copies_what_is_there_and_the_builder_gets_no_more() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    copied = [source for rest in said("COPY") if "--from" not in rest for source in rest.split()[:-1]]
    assert len(copied) >= 5
    assert all((ROOT / source).exists() for source in copied)
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied)
    assert "*" in ignored


def test_torch_is_that_of_the_makefile_and_comes_first_and_the_extras_exist() -> None:
    (torch,) = re.findall(r"^TORCH := (\S+)", (ROOT / "Makefile").read_text("utf-8"), re.M)
    runs = [run for run in said("RUN") if "pip install" in run]
    assert runs[0].endswith(torch)
    (extras,) = re.findall(r"/source\[([\w,]+)\]", runs[-1])
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    assert "--constraint" in runs[-1]


def test_a_script_that_the_dockerfile_runs_is_copied_before_and_knows_its_options() -> None:
    (run,) = [rest for rest in said("RUN") if rest.startswith("python /source/")]
    _, script, *options = run.split()
    source = script.removeprefix("/source/")
    assert f"{source} /source/deploy/" in said("COPY")
    assert set(options) <= set(re.findall(r"\"(--[\w-]+)\"", (ROOT / source).read_text("utf-8")))


def test_the_image_runs_a_command_that_exists_as_a_user_of_its_own() -> None:
    assert len(said("FROM")) == 2
    assert said("USER") == ["10001:10001"]
    names = [name for name, _ in steps()]
    assert "RUN" not in names[names.index("USER") :]
    (entry,) = json.loads(said("ENTRYPOINT")[0])
    assert entry in PROJECT["scripts"]
    parses(json.loads(said("CMD")[0]))


def test_the_health_check_asks_a_route_that_answers_by_that_name() -> None:
    (health,) = re.findall(r"SECONDREAD_HEALTH=(\S+)", said("ENV")[-1])
    url = urlsplit(health)
    assert url.path in {getattr(route, "path", "") for route in watched.router.routes}
    page = ServiceSettings.load(DEPLOY / "service.yaml").page
    assert (page.port, page.tls is not None) == (url.port, url.scheme == "https")
    assert url.hostname in page.hosts
    (check,) = re.findall(r"CMD (\[.*\])", said("HEALTHCHECK")[0])
    compile(json.loads(check)[2], "health", "exec")


def test_every_container_gives_up_what_it_does_not_need(compose: dict[str, Any]) -> None:
    for name, one in compose["services"].items():
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in one
        assert one.get("read_only") is (None if name == "pacs" else True), name
    service = compose["services"]["secondread"]
    assert f'"{service["user"]}"' == f'"{said("USER")[0]}"'
    assert seconds(service["stop_grace_period"]) > STOP_S
    assert compose["services"]["database"]["networks"] == ["inside"]
    assert compose["networks"]["inside"]["internal"] is True


def test_the_composition_names_what_it_declares(compose: dict[str, Any]) -> None:
    kinds: dict[str, set[str]] = {"volumes": set(), "networks": set(), "secrets": set()}
    for one in compose["services"].values():
        for kind, used in kinds.items():
            used |= {name.split(":")[0] for name in one.get(kind, ()) if not name.startswith(("./", "/"))}
        assert set(one.get("depends_on", ())) <= set(compose["services"])
    for kind, used in kinds.items():
        assert used == set(compose[kind]), kind
    service = compose["services"]["secondread"]
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_the_configuration_in_the_container_fits_the_composition(compose: dict[str, Any]) -> None:
    settings = ServiceSettings.load(DEPLOY / "service.yaml")
    service = compose["services"]["secondread"]
    targets = [Path(volume.split(":")[1]) for volume in service["volumes"]]
    tls = settings.page.tls
    assert tls is not None
    for path in (settings.spool, settings.bundles[0].bundle, tls.key, Path(settings.upkeep.backups)):
        assert path is not None
        assert any(path.is_relative_to(target) for target in targets), path
    published = {port.split(":")[-1] for port in service["ports"]}
    assert (
        published == {str(settings.receive.port), str(settings.page.port)} == set(said("EXPOSE")[0].split())
    )
    hosts = {urlsplit(settings.database).hostname, settings.send.dicom[0].address}
    assert hosts <= set(compose["services"])
    orthanc = json.loads(compose["services"]["pacs"]["environment"]["ORTHANC_JSON"])
    assert orthanc["DicomModalities"]["secondread"] == ["SECONDREAD", "secondread", settings.receive.port]
    assert (orthanc["DicomAet"], orthanc["DicomPort"]) == (
        settings.send.dicom[0].title,
        settings.send.dicom[0].port,
    )


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_a_command_that_exists_and_gives_it_time_to_end(unit: Path) -> None:
    told = dict(
        line.split("=", 1) for line in unit.read_text("utf-8").splitlines() if re.match(r"[A-Z]\w+=", line)
    )
    program, *words = shlex.split(told["ExecStart"])
    assert Path(program).name in PROJECT["scripts"]
    parses(words)
    assert seconds(told["TimeoutStopSec"]) > STOP_S
    assert told["KillMode"] == "mixed"
    assert told["ProtectSystem"] == "strict"
    assert told["NoNewPrivileges"] == told["PrivateTmp"] == "yes"


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_takes_a_unit_and_finds_it_closed(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    here = tmp_path / unit.name
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text("utf-8"), flags=re.M)
    here.write_text(text, "utf-8")
    for words in (["verify"], ["security", "--offline=true", f"--threshold={MOST_EXPOSED}"]):
        done = subprocess.run(["systemd-analyze", *words, str(here)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert unit.name not in done.stderr
