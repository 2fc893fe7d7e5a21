"""The time left of a whole fit, in lines for those without a terminal."""

import sys

from secondread.training import fit_display
from secondread.training.fit_display import FitProgress
from secondread.training.planning.planned_stages import PlannedStage
from secondread.training.planning.time_left import TimeLeft


def test_a_stage_goes_on_at_its_own_pace_and_those_to_come_at_the_mean_pace():
    now = [0.0]
    stages = [
        PlannedStage("a", 1, 10, 4, 40),
        PlannedStage("b", 2, 20, 4, 40),
        PlannedStage("c", 0, 0, 4, 40),
    ]
    left = TimeLeft(stages, lambda: now[0])
    left.begin(0, 0.0)
    assert left.seconds(0.0) is None
    now[0] = 10.0
    left.end()
    left.begin(1, 0.5)
    now[0] = 30.0
    assert left.seconds(0.75) == 20.0 + (30.0 / 60.0) * 40


def test_without_a_terminal_a_line_comes_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    monkeypatch.setattr(fit_display, "SECONDS_BETWEEN_LINES", 0.0)
    shown = FitProgress(True)
    shown.plan([PlannedStage("a", 1, 10, 4, 40)])
    assert shown.left is not None
    shown.left.begin(0, 0.0)
    shown.share(0.5)
    assert "left of the whole fit" in capsys.readouterr().err
    monkeypatch.setattr(fit_display, "SECONDS_BETWEEN_LINES", 60.0)
    shown.share(0.6)
    assert capsys.readouterr().err == ""
