"""Wide-ResNet-50-2 with torchvision's ImageNet weights."""

from __future__ import annotations

from secondread.networks.pretrained import PretrainedEncoder
from secondread.networks.resnet import ResNet, wide_resnet50_2
from secondread.networks.weights.sources import SOURCES


class WideResNet50(PretrainedEncoder):
    """See `networks.resnet.wide_resnet50_2`."""

    name = "wide_resnet50_2"
    make_network = staticmethod(wide_resnet50_2)
    source = SOURCES["wide_resnet50_2"]
    layers_by_stride = ResNet.layers_by_stride
