"""Commands killed at random moments go on and lose nothing; the benchmark does it hundreds of times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "machines" / "kills.py"


@pytest.mark.slow
def test_killed_commands_go_on_and_lose_nothing(tmp_path: Path) -> None:
    counted = tmp_path / "counted.json"
    commands = ["fit", "score", "calibrate"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", "1", "--commands", *commands, "--json", str(counted)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    tallies = json.loads(counted.read_text()) if counted.exists() else {}
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name: (tally["kills"], tally["stops"]) for name, tally in tallies.items()} == dict.fromkeys(
        commands, (1, 1)
    )
