"""Which modules are in train mode while a stage's steps run."""

from __future__ import annotations

from torch import nn

from secondread.detectors.contract import Detector, Stage


def training_modes(detector: Detector, stage: Stage) -> None:
    """Train mode for what a step of the stage trains and for the stage's `drifts`, eval mode for the rest.

    So batch statistics and power-iteration vectors of frozen networks stay as they are. The flag of the
    detector itself tells its losses that a step runs. A parameter that is trained by itself takes the module
    that owns it along, without that module's children.
    """
    detector.eval()
    alone = set()
    for part in [*(part for step in stage.steps for part in step.trains), *stage.drifts]:
        if isinstance(part, nn.Parameter):
            alone.add(id(part))
        else:
            part.train()
    for module in detector.modules():
        if any(id(parameter) in alone for parameter in module.parameters(recurse=False)):
            module.training = True
    detector.training = True
