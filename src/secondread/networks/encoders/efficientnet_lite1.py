"""EfficientNet-Lite 1 with the ImageNet weights that a package on the package index ships."""

from __future__ import annotations

from functools import partial

from secondread.networks.efficientnet_lite import STATISTICS, EfficientNetLite, efficientnet_lite
from secondread.networks.pretrained import PretrainedEncoder
from secondread.networks.weights.sources import SOURCES


class EfficientNetLite1(PretrainedEncoder):
    """See `networks.efficientnet_lite.EfficientNetLite`."""

    name = "efficientnet_lite1"
    make_network = partial(efficientnet_lite, 1)
    source = SOURCES["efficientnet_lite1"]
    statistics = STATISTICS
    layers_by_stride = EfficientNetLite.layers_by_stride
