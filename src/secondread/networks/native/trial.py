"""How much faster compiled code is than torch on this machine: tried once, and kept."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from secondread.networks.native.build import SWITCH

ROUNDS = 5
_known: dict[Path, float] = {}


def is_faster(file: Path | None, trial: Callable[[], float]) -> bool:
    """Whether the kept gain is above 1, or the user says so by SECONDREAD_NATIVE=1."""
    return os.environ.get(SWITCH) == "1" or kept_gain(file, trial) > 1.0


def kept_gain(file: Path | None, trial: Callable[[], float]) -> float:
    """What `trial` gives, torch's time by that of the compiled code.

    Tried once on a machine: the figure is kept in `file`, so that all later processes, and those that start
    at once, go the same way. Where it cannot be kept it holds for this process. Whoever asks first notices
    nothing of it: it runs without gradients, in no mode of the caller's, and torch's generator stands where
    it stood.
    """
    assert file is not None
    if file not in _known:
        try:
            if not file.exists():
                file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                _write_once(file, f"{_tried(trial):.3f}\n")
            _known[file] = float(file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            _known[file] = _tried(trial)
    return _known[file]


def _tried(trial: Callable[[], float]) -> float:
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast("cpu", enabled=False),
        torch.random.fork_rng(devices=[]),
    ):
        return trial()


def gain(contenders: Mapping[bool, Callable[[], object]]) -> float:
    """The least processor time of torch's way (False) by that of the compiled one (True), in turns."""
    least = dict.fromkeys(contenders, 1e9)
    for _ in range(ROUNDS):
        for compiled, run in contenders.items():
            begun = time.process_time()
            run()
            least[compiled] = min(least[compiled], time.process_time() - begun)
    return least[False] / max(least[True], 1e-9)


def _write_once(file: Path, text: str) -> None:
    """Whole, and only where no other process has been faster."""
    with tempfile.NamedTemporaryFile("w", dir=file.parent, encoding="ascii") as made:
        made.write(text)
        made.flush()
        try:
            os.link(made.name, file)
        except FileExistsError:
            return
