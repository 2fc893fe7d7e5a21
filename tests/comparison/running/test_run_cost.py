"""What a run's cost holds, and what not."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest
from tiny_tasks import intensity_task

import secondread.readings.score_into
from secondread.cohorts.manifest import Manifest
from secondread.comparison.running.one_run import RESULT, work
from secondread.comparison.running.run_memory import expected_bytes
from secondread.preprocessing.cache.place import open_cache


@pytest.fixture
def judged(phantoms: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run whose peak grows at every look, with what the cache held when scoring began."""
    looks = count(1)
    monkeypatch.setattr("secondread.comparison.running.one_run.peaks", lambda: {"peak": float(next(looks))})
    held: list[bool] = []
    score = secondread.readings.score_into.score_into

    def watched(bundle, images, *arguments, cache, **options):
        digest = bundle.preprocessing.digest
        held.extend(cache.find(images.reference(row), digest) is not None for row in images.rows)
        return score(bundle, images, *arguments, cache=cache, **options)

    monkeypatch.setattr(secondread.readings.score_into, "score_into", watched)
    task = intensity_task(tmp_path / "comparison", Path(phantoms.source))
    work(task)
    return task, held


def test_no_method_pays_for_having_been_the_first_to_read_a_file(judged):
    task, held = judged
    assert held
    assert all(held)
    assert open_cache(task.cache).size() > 0


def test_peak_memory_is_that_of_fit_and_scoring_while_the_whole_run_is_planned_for(judged):
    task, _ = judged
    cost = json.loads((task.place / RESULT).read_text())["cost"]
    assert cost["peak_memory_bytes"] == 2
    assert expected_bytes(task) == 3
