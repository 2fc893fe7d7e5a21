"""A clip from its file to the page that shows its scores over time, as a person types it."""

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from images.dicom.made_clips import write_clip
from secondread.bundles.bundle import Bundle
from secondread.cli.main import app


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_index_and_score_take_every_second_frame_and_score_shows_them_over_time(
    fitted: Bundle, tmp_path: Path
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (6, 40, 40), dtype=np.uint8)
    clip = write_clip(tmp_path / "src" / "clip.dcm", frames)
    listed = run("index", tmp_path / "src", "-o", tmp_path / "m.csv", "--every", 2, "--workers", 0)
    assert "3 images" in listed
    said = run("score", fitted.path, clip, "-o", tmp_path / "out", "--every", 2, "--workers", 0)
    assert "scores over time: " in said
    page = (tmp_path / "out" / "sequences.html").read_text(encoding="utf-8")
    assert "3 frames" in page
    assert "frame 4 at 0.16" in page or "frame 2 at 0.08" in page or "frame 0 at 0.00" in page
    again = ("threshold", fitted.path, tmp_path / "out", "--false-alarm-rate", 0.4, "-o", tmp_path / "other")
    assert "images: " in run(*again)
    redrawn = (tmp_path / "other" / "sequences.html").read_text(encoding="utf-8")
    assert redrawn != page
    assert "3 frames" in redrawn
    run("score", fitted.path, tmp_path / "m.csv", "-o", tmp_path / "again", "--workers", 0)
    first, again = ((tmp_path / name / "readings.csv").read_text().splitlines() for name in ("out", "again"))
    assert [line.split(",")[3:6] for line in first] == [line.split(",")[3:6] for line in again]
