"""The three trivial baselines that go along with every fit, on the same prepared normals.

Mean intensity, pixel 1-NN and the spectrum say what a method must beat on the data at hand. Each has
its own calibration, so its score needs no label either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from secondread.bundles.decisions import Baseline
from secondread.bundles.declared import refuse_large
from secondread.bundles.fitted import plan_fitted
from secondread.calibration.calibration import Calibration
from secondread.detectors import find
from secondread.detectors.contract import Detector
from secondread.detectors.trivial import BASELINES
from secondread.scoring.scorer import Scorer
from secondread.strict.tensor_file import TensorForm

T = TypeVar("T")


def build_companion(name: str, channels: int, size: Sequence[int]) -> Detector:
    """A trivial baseline with its own defaults."""
    kind = find(name)
    return kind(kind.Settings(name=name), channels, size, pretrained=False)


def takes(name: str, size: Sequence[int]) -> bool:
    """Whether a baseline takes images of this rank."""
    return len(size) in find(name).ranks


@dataclass(frozen=True)
class Companions:
    """The fitted baselines by name, each with its calibration."""

    detectors: Mapping[str, Detector]
    calibrations: Mapping[str, Calibration]

    def __repr__(self) -> str:
        return f"<Companions: {', '.join(self.names) or 'none'}>"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.detectors)

    def to(self, device: str) -> Self:
        for detector in self.detectors.values():
            detector.to(device)
        return self

    def asked(self, device: str) -> dict[str, Baseline]:
        """What judges images beside the detector, by name."""
        return {
            name: Baseline(Scorer(detector, device=device, precision="float32"), self.calibrations[name])
            for name, detector in self.detectors.items()
        }

    def state(self) -> tuple[dict[str, dict[str, Any]], dict[str, Tensor]]:
        """JSON by name, and tensors called `name/detector/…` and `name/calibration/…`."""
        described: dict[str, dict[str, Any]] = {}
        tensors: dict[str, Tensor] = {}
        for name, detector in self.detectors.items():
            described[name], arrays = self.calibrations[name].state()
            tensors |= {f"{name}/detector/{key}": value for key, value in detector.state_dict().items()}
            tensors |= {
                f"{name}/calibration/{key}": torch.from_numpy(np.array(value))
                for key, value in arrays.items()
            }
        return described, tensors

    @classmethod
    def plan(
        cls,
        described: Mapping[str, dict[str, Any]],
        forms: Mapping[str, TensorForm],
        channels: int,
        size: Sequence[int],
    ) -> None:
        """Raises ValueError where tensors of these forms are not those of the baselines that are named."""
        for name in described:
            if name not in BASELINES:
                raise ValueError(f"no companion is called {name!r}")
            plan_fitted(partial(build_companion, name, channels, size), _under(forms, f"{name}/detector/"))
            refuse_large(name, _under(forms, f"{name}/calibration/"))
        for name in forms:
            if name.partition("/")[0] not in described:
                raise ValueError(f"the tensor {name!r} is of no companion that is named")

    @classmethod
    def from_state(
        cls,
        described: Mapping[str, dict[str, Any]],
        tensors: Mapping[str, Tensor],
        channels: int,
        size: Sequence[int],
    ) -> Self:
        """From tensors that `plan` has compared."""
        detectors: dict[str, Detector] = {}
        calibrations: dict[str, Calibration] = {}
        for name in described:
            detectors[name] = (
                build_companion(name, channels, size).load_fitted(_under(tensors, f"{name}/detector/")).eval()
            )
            arrays = {key: value.numpy() for key, value in _under(tensors, f"{name}/calibration/").items()}
            calibrations[name] = Calibration.from_state(described[name], arrays)
        return cls(detectors, calibrations)


def _under(tensors: Mapping[str, T], prefix: str) -> dict[str, T]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
