"""The loop in processes of their own: killed without warning, and two at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent / "fit_in_process.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(directory: Path, out: Path, seconds_per_round: float) -> list[str]:
    return [str(SCRIPT), str(directory), str(out), str(seconds_per_round)]


def fit_here(directory: Path, out: Path) -> dict[str, torch.Tensor]:
    subprocess.run([sys.executable, *command(directory, out, 0.0)], check=True, env=ENVIRONMENT, timeout=100)
    return torch.load(out, weights_only=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("whole")
    return fit_here(folder, folder / "whole.pt")


@pytest.mark.slow
def test_kill_9_and_resume_give_the_result_of_an_uninterrupted_fit(whole, tmp_path):
    cut = tmp_path / "cut"
    process = subprocess.Popen([sys.executable, *command(cut, tmp_path / "cut.pt", 0.05)], env=ENVIRONMENT)
    deadline = time.monotonic() + 60
    while len(list(cut.glob("checkpoints/checkpoint-0000000[3-9]*"))) == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "cut.pt").exists()
    resumed = fit_here(cut, tmp_path / "cut.pt")
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())


@pytest.mark.slow
def test_two_processes_equal_one_up_to_rounding(whole, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, *command(tmp_path / "two", tmp_path / "two.pt", 0.0)],
        check=True,
        env=ENVIRONMENT,
        timeout=110,
        capture_output=True,
        text=True,
    )
    assert "processes 2 2" in done.stdout
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    for name, tensor in whole.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
