"""What a control group leaves of a machine's memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondread.images.workers.memory import _group_limits


@pytest.mark.parametrize(
    ("line", "base", "names"),
    [
        ("0::/job/step", "", ("memory.max", "memory.current", "inactive_file")),
        (
            "4:memory:/job/step",
            "memory",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_the_limits_of_a_group_and_of_those_above_it_count_without_file_cache(
    tmp_path: Path, line: str, base: str, names: tuple[str, str, str]
):
    limit, used, idle = names
    own = tmp_path / "own"
    own.write_text(f"9:cpu:/elsewhere\n{line}\n")
    step = tmp_path / "groups" / base / "job" / "step"
    step.mkdir(parents=True)
    for group, allowed in ((step, "max"), (step.parent, "5000")):
        (group / limit).write_text(f"{allowed}\n")
        (group / used).write_text("3000\n")
        (group / "memory.stat").write_text(f"anon 1\n{idle} 1200\n")
    assert _group_limits(tmp_path / "groups", own) == [(5000, 1800)]
