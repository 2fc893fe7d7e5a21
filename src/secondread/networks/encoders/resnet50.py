"""ResNet-50 with torchvision's ImageNet weights."""

from __future__ import annotations

from secondread.networks.pretrained import PretrainedEncoder
from secondread.networks.resnet import ResNet, resnet50
from secondread.networks.weights.sources import SOURCES


class ResNet50(PretrainedEncoder):
    """See `networks.resnet.resnet50`."""

    name = "resnet50"
    make_network = staticmethod(resnet50)
    source = SOURCES["resnet50"]
    layers_by_stride = ResNet.layers_by_stride
