"""A trial of compiled code: once on a machine, and without a trace in what asks for it."""

import torch

from secondread.networks.native.trial import kept_gain


def test_a_trial_runs_in_no_mode_of_whoever_asks_first_and_draws_nothing_of_theirs(tmp_path):
    seen = []

    def trial() -> float:
        made = torch.nn.Linear(2, 2)
        seen.append((made.weight.is_inference(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
        return 1.5

    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert kept_gain(tmp_path / "caches" / "gain", trial) == 1.5
        assert torch.is_inference_mode_enabled()
    assert seen == [(False, False, False)]
    assert torch.equal(torch.rand(1), expected)
    assert kept_gain(tmp_path / "caches" / "gain", trial) == 1.5
    assert len(seen) == 1
