"""ResNet-18 with torchvision's ImageNet weights."""

from __future__ import annotations

from secondread.networks.pretrained import PretrainedEncoder
from secondread.networks.resnet import ResNet, resnet18
from secondread.networks.weights.sources import SOURCES


class ResNet18(PretrainedEncoder):
    """See `networks.resnet.resnet18`."""

    name = "resnet18"
    make_network = staticmethod(resnet18)
    source = SOURCES["resnet18"]
    layers_by_stride = ResNet.layers_by_stride
