"""SqueezeNet 1.1 with torchvision's ImageNet weights."""

from __future__ import annotations

from secondread.networks.pretrained import PretrainedEncoder
from secondread.networks.squeezenet import SqueezeNet
from secondread.networks.weights.sources import SOURCES


class SqueezeNetEncoder(PretrainedEncoder):
    """See `networks.squeezenet.SqueezeNet`."""

    name = "squeezenet1_1"
    make_network = SqueezeNet
    source = SOURCES["squeezenet1_1"]
    layers_by_stride = SqueezeNet.layers_by_stride
