"""The precision in which a detector is trained."""

from __future__ import annotations

import torch
from torch import nn

from secondread.detectors.contract import Detector
from secondread.scoring.device import Precision, asked_precision, choose_precision


def training_precision(detector: Detector, name: str, device: torch.device) -> Precision:
    """What is chosen for the device (`choose_precision`); of `auto` on a processor, float32 where the
    detector has convolutions of volumes: oneDNN's gradient of these in bfloat16 reads, on some processors,
    memory that nobody wrote, where volumes are a few voxels wide. An order is followed."""
    chosen = choose_precision(name, device)
    if chosen == "float32" or device.type != "cpu" or asked_precision(name) is not None:
        return chosen
    volumes = (nn.Conv3d, nn.ConvTranspose3d)
    return "float32" if any(isinstance(module, volumes) for module in detector.modules()) else chosen
