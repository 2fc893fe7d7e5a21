from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from secondread.bundles.bundle import Bundle
from secondread.cli.main import app
from secondread.cohorts.manifest import Manifest


def test_processes_and_a_cluster_are_not_asked_for_together(
    fitted: Bundle, phantoms: Manifest, tmp_path: Path
) -> None:
    films = phantoms.base / "manifest.csv"
    asked = ["score", str(fitted.path), str(films), "-o", str(tmp_path / "out"), "--processes", "2"]
    found = CliRunner().invoke(app, [*asked, "--ray", "local"])
    assert found.exit_code == 2
    assert "--processes does not go with --ray" in found.output
