"""SqueezeNet 1.1 with torchvision's ImageNet weights."""

from __future__ import annotations

from secondread.networks.pretrained import PretrainedEncoder
from secondread.networks.squeezenet import SqueezeNet
from secondread.networks.weights import WeightsSource


class SqueezeNetEncoder(PretrainedEncoder):
    """See `networks.squeezenet.SqueezeNet`."""

    name = "squeezenet1_1"
    make_network = SqueezeNet
    source = WeightsSource(file="https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth")
    layers_by_stride = SqueezeNet.layers_by_stride
