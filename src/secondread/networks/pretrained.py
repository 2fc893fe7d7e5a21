"""Encoders that are an ImageNet network, cut off and frozen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from secondread.networks.encoder import Encoder, EncoderSettings
from secondread.networks.inverted_residual import Scale
from secondread.networks.weights.find import WeightsFile, WeightsSource
from secondread.networks.weights.load import load_weights

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class PretrainedEncoder(Encoder):
    """The maps of an ImageNet network, `[N, 1 or 3, H, W]` in [0, 1] to a tuple of `[N, C, h, w]`.

    Grey is repeated to three channels; the mean and standard deviation that its training had are
    subtracted and divided inside. Its parameters train only where a detector fine-tunes them, and it stays in
    eval mode whatever `train()` says, so that the running statistics of batch normalisation do not drift.

    A subclass names the network, which has `steps`, `drop_after`, `tail` and `channels` as
    `networks.resnet` has them, and `runs` where it is faster from layer to layer than step by step
    (`networks.efficientnet_lite`); and where its weights are to be had.

    Args:
        layers: whose maps are returned, in the network's order; None = its default, of stride 16.
        weights: a file or folder (`networks.weights.find`).
        pretrained: False leaves the parameters at random and reads no file.
        imagenet_statistics: False scales [0, 1] to [-1, 1] instead (a known fault, for the ablation).
        batch_norm: "train" lets batch normalisation follow `train()` (a known fault, for the ablation).
    """

    name: ClassVar[str]
    make_network: ClassVar[Callable[[], Any]]
    source: ClassVar[WeightsSource]
    statistics: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = IMAGENET
    """Mean and standard deviation, of [0, 1], with which the network was trained."""

    def __init__(
        self,
        layers: Sequence[str] | None = None,
        *,
        weights: str | Path | None = None,
        pretrained: bool = True,
        imagenet_statistics: bool = True,
        batch_norm: Literal["eval", "train"] = "eval",
    ) -> None:
        super().__init__()
        name, network = self.name, type(self).make_network()
        self.layers = tuple(layers) if layers is not None else (network.default_layer,)
        order = [step for step, _ in network.steps()]
        for layer in self.layers:
            if layer not in order:
                raise ValueError(f"{name} has no layer {layer!r}; there are {', '.join(order)}")
        if list(self.layers) != sorted(self.layers, key=order.index):
            raise ValueError(f"layers of {name} must be named in its order, not {self.layers}")
        self.weights_file: WeightsFile | None = None
        if pretrained:
            self.weights_file = load_weights(
                network, name, weights, optional=network.tail, source=self.source
            )
        network.drop_after(self.layers[-1])
        self.channels = tuple(network.channels[layer] for layer in self.layers)
        self.network = network.requires_grad_(False)
        self.batch_norm = batch_norm
        mean, deviation = self.statistics if imagenet_statistics else ((0.5,) * 3, (0.5,) * 3)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1))
        self.train(self.training)

    @classmethod
    def build(
        cls,
        settings: EncoderSettings,
        rank: int,
        channels: int,
        *,
        layers: Sequence[str] | None,
        pretrained: bool,
    ) -> Self:
        if channels not in (1, 3):
            raise ValueError(f"encoder {cls.name} takes 1 or 3 channels, and preprocessing gives {channels}")
        if layers is None and settings.layer is not None:
            layers = (settings.layer,)
        return cls(
            layers,
            weights=settings.weights,
            pretrained=pretrained and settings.weights != "random",
            imagenet_statistics=settings.imagenet_statistics,
            batch_norm=settings.batch_norm,
        )

    def train(self, mode: bool = True) -> Self:
        return super().train(mode and self.batch_norm == "train")

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        if images.shape[1] not in (1, 3):
            raise ValueError(f"a pretrained encoder takes 1 or 3 channels, not {images.shape[1]}")
        x, scale, network = images, Scale(self.mean, self.deviation), self.network
        if hasattr(network, "runs"):
            steps = network.runs(self.layers, scale)
        else:
            x, steps = scale(x), network.steps()
        maps = []
        for name, step in steps:
            x = step(x)
            if name in self.layers:
                maps.append(x)
        return tuple(maps)
