"""What a person may set about an encoder, and the encoder that this names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from secondread.networks.encoder import ConvEncoder, PretrainedEncoder
from secondread.settings.base import Settings, Width

LAYERS_OF_STRIDES_4_8_16 = {
    **dict.fromkeys(("resnet18", "resnet50", "wide_resnet50_2"), ("layer1", "layer2", "layer3")),
    "squeezenet1_1": ("features.4", "features.7", "features.12"),
}
"""Of the pretrained encoders."""


class EncoderSettings(Settings):
    """`conv` is trained on the normals themselves; the others come with ImageNet weights, frozen."""

    name: Literal["conv", "resnet18", "resnet50", "wide_resnet50_2", "squeezenet1_1"] = "squeezenet1_1"
    weights: str | None = Field(
        None,
        description="a .safetensors or .pth file or its folder; empty = the folder named by "
        "SECONDREAD_WEIGHTS; 'random' = untrained (tests)",
    )
    layer: str | None = Field(None, description="whose map is used; empty = the one of stride 16")
    imagenet_statistics: bool = Field(True, description="False scales to [-1, 1] instead (ablation)")
    batch_norm: Literal["eval", "train"] = Field("eval", description="train lets statistics drift (ablation)")
    width: Width = Field(16, description="conv: channels of its first layers")
    widest: Width = Field(128, description="conv: most channels of a layer")
    code: Width = Field(64, description="conv: channels of its map that the network gives")
    linear: int = Field(
        0,
        ge=0,
        le=1 << 16,
        description="conv: further channels, linear filters of each cell; stride^rank of them lose nothing",
    )
    stride: Literal[4, 8, 16] = Field(8, description="conv: image size / map size")


def build_encoder(
    settings: EncoderSettings,
    rank: int,
    channels: int,
    *,
    pretrained: bool,
    layers: Sequence[str] | None = None,
) -> PretrainedEncoder | ConvEncoder:
    """The encoder for images `[channels, *S]` with `len(S) == rank`; `layers` overrides `layer`."""
    if settings.name == "conv":
        return ConvEncoder(
            rank,
            channels,
            width=settings.width,
            widest=settings.widest,
            code=settings.code,
            linear=settings.linear,
            stride=settings.stride,
        )
    if channels not in (1, 3):
        raise ValueError(f"encoder {settings.name} takes 1 or 3 channels, and preprocessing gives {channels}")
    if layers is None and settings.layer is not None:
        layers = (settings.layer,)
    return PretrainedEncoder(
        settings.name,
        layers,
        weights=settings.weights,
        pretrained=pretrained and settings.weights != "random",
        imagenet_statistics=settings.imagenet_statistics,
        batch_norm=settings.batch_norm,
    )
