"""EfficientNet-Lite 2 with the ImageNet weights that a package on the package index ships."""

from __future__ import annotations

from functools import partial

from secondread.networks.efficientnet_lite import STATISTICS, EfficientNetLite, efficientnet_lite
from secondread.networks.pretrained import PretrainedEncoder
from secondread.networks.weights.sources import SOURCES


class EfficientNetLite2(PretrainedEncoder):
    """See `networks.efficientnet_lite.EfficientNetLite`."""

    name = "efficientnet_lite2"
    make_network = partial(efficientnet_lite, 2)
    source = SOURCES["efficientnet_lite2"]
    statistics = STATISTICS
    layers_by_stride = EfficientNetLite.layers_by_stride
