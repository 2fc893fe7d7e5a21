"""A detector that notes what is drawn for it; apart, so that a worker imports no more than this."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from secondread.anomalies.anomaly import Anomalies
from secondread.detectors.contract import Batches, Detector, Stage, Step
from secondread.detectors.detector_settings import DetectorSettings
from secondread.errors import UserError


@dataclass(frozen=True)
class Notes:
    """Draws one number per image, the same for all, and ends the process in `ends`, or refuses batches of a
    size."""

    home: int
    refused: int = 0
    ends: bool = False

    def __call__(self, batches: Batches, generator: torch.Generator) -> dict[str, Anomalies]:
        if self.ends and os.getpid() != self.home:
            os._exit(3)
        x = batches["normal"].images
        if len(x) == self.refused:
            raise UserError(f"nothing can be drawn in {self.refused} images")
        number = torch.rand(1, generator=generator).expand(len(x), 1, *x.shape[2:]).contiguous()
        return {"normal": Anomalies(x + number, torch.ones_like(number, dtype=torch.bool), number)}


class Listener(Detector):
    """Notes what was drawn in each batch that its loss gets."""

    Settings = DetectorSettings

    def __init__(self, draw: Notes):
        super().__init__(DetectorSettings(name="listener"), 1, (16, 16))
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.draw, self.heard = draw, list[float]()

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "listen", {"normal": 1.0}, [Step([self.weight], self.loss)], validate="steps", draw=self.draw
        )

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        made = batches["normal"].drawn
        assert made is not None
        torch.testing.assert_close(made.images, batches["normal"].images + made.target)
        self.heard.append(float(made.target.mean()))
        return {"weight": self.weight.square().sum()}
