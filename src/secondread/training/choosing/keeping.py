"""Which epoch's parameters stay at a stage's end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from secondread.detectors.contract import Detector
from secondread.training.fit_state import StageProgress
from secondread.training.optimisers import MovingAverage

RULES = {
    "best": "lowest loss on held-out normals",
    "synthetic": "highest AUROC of synthetic anomalies in held-out normals",
    "unlabelled": "highest AUROC of unlabelled images against held-out normals",
}


class Keeping:
    """The parameters and buffers of the best epoch so far by the rule `keep`; of none with `last`.

    Of epochs that are equally good the first one stays. Where an epoch is measured with averaged parameters,
    these are what is kept.
    """

    def __init__(
        self, keep: str, detector: Detector, trained: Sequence[nn.Parameter], best: dict[str, Tensor] | None
    ) -> None:
        self.keep = keep
        self.detector = detector
        self.trained = trained
        self.best = best

    def consider(self, at: StageProgress, loss: float | None, measured: Mapping[str, float | None]) -> None:
        """The epoch that just ended, with its loss on held-out normals and its other values by rule."""
        value = measured.get(self.keep)
        if self.keep == "best" and loss is not None:
            value = -loss
        if value is not None and value > at.best_value:
            at.best_value, at.best_epoch = value, at.epoch
            self.best = self.snapshot()

    def settle(self, at: StageProgress, average: MovingAverage | None) -> tuple[int, str]:
        """Give the detector the parameters that stay; returns their epoch and the rule in words."""
        if self.best is not None:
            assert at.best_epoch is not None
            self.detector.load_state_dict(self.best, strict=False)
            return at.best_epoch, RULES[self.keep]
        missed = "" if self.keep == "last" else f", as the {RULES[self.keep]} was never finite"
        if average is not None:
            average.swap()
            return at.epoch - 1, f"moving average after the last epoch{missed}"
        return at.epoch - 1, f"last epoch{missed}"

    def snapshot(self) -> dict[str, Tensor]:
        """The trained parameters and all buffers, copied."""
        wanted = {id(parameter) for parameter in self.trained}
        left_out = {
            name for name, parameter in self.detector.named_parameters() if id(parameter) not in wanted
        }
        return {
            name: tensor.detach().clone()
            for name, tensor in self.detector.state_dict().items()
            if name not in left_out
        }
