"""The scripts for clusters, which cannot run here, are whole, and every command in them exists."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from secondread.cli.main import app

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "clusters.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"^```bash\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_whole(script) -> None:
    subprocess.run(["bash", "-n"], input=script, text=True, check=True, capture_output=True)


def test_its_commands_can_be_run_as_they_stand() -> None:
    commands = typer.main.get_command(app).commands
    lines = [line for script in SCRIPTS for line in script.splitlines() if not line.startswith("#")]
    shown = [shlex.split(line[line.index("secondread ") :]) for line in lines if "secondread " in line]
    assert {words[1] for words in shown} == {"fit", "compare"}
    for _, name, *rest in shown:
        commands[name].make_context(name, rest)
