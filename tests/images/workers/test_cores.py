import os
from pathlib import Path

import pytest

from secondread.images.workers.cores import available_cores, physical_cores

HERE = len(os.sched_getaffinity(0))


def write(system: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (system / name).parent.mkdir(parents=True, exist_ok=True)
        (system / name).write_text(text)
    return system


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, HERE),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, HERE),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, 1),
        (
            {
                "proc/self/cgroup": "3:cpuset:/x\n2:cpu,cpuacct:/a\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "150000\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": "2:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            HERE,
        ),
    ],
    ids=["no groups", "one core", "no limit", "a group above", "version 1", "version 1 without limit"],
)
def test_no_more_cores_are_taken_than_a_container_gives(tmp_path, files, quota):
    assert available_cores(write(tmp_path, files)) == quota


def test_threads_of_one_core_count_once(tmp_path):
    siblings = {
        f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list": "0-99\n"
        for number in os.sched_getaffinity(0)
    }
    assert physical_cores(write(tmp_path, siblings)) == 1
    assert physical_cores(tmp_path / "elsewhere") == HERE
