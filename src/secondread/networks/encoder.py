"""Encoders: an ImageNet network cut off and frozen, or a small one trained on the normals themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from secondread.networks.by_rank import CONVOLUTION, channels_last
from secondread.networks.cells import Cells, resample
from secondread.networks.resnet import ResNet, resnet18, resnet50, wide_resnet50_2
from secondread.networks.squeezenet import SqueezeNet
from secondread.networks.weights import WeightsFile, load_weights

PRETRAINED: dict[str, Callable[[], ResNet | SqueezeNet]] = {
    "resnet18": resnet18,
    "resnet50": resnet50,
    "wide_resnet50_2": wide_resnet50_2,
    "squeezenet1_1": SqueezeNet,
}


class PretrainedEncoder(nn.Module):
    """The maps of an ImageNet network, `[N, 1 or 3, H, W]` in [0, 1] to a tuple of `[N, C, h, w]`.

    Grey is repeated to three channels; the mean and standard deviation of ImageNet are subtracted and
    divided inside. Its parameters never train, and it stays in eval mode whatever `train()` says, so
    that the running statistics of batch normalisation do not drift.

    Args:
        name: one of `PRETRAINED`.
        layers: whose maps are returned, in the network's order; None = its default, of stride 16.
        weights: a file or folder (`networks.weights.find_weights`).
        pretrained: False leaves the parameters at random and reads no file.
        imagenet_statistics: False scales [0, 1] to [-1, 1] instead (a known fault, for the ablation).
        batch_norm: "train" lets batch normalisation follow `train()` (a known fault, for the ablation).
    """

    def __init__(
        self,
        name: str,
        layers: Sequence[str] | None = None,
        *,
        weights: str | Path | None = None,
        pretrained: bool = True,
        imagenet_statistics: bool = True,
        batch_norm: Literal["eval", "train"] = "eval",
    ) -> None:
        super().__init__()
        network = PRETRAINED[name]()
        self.layers = tuple(layers) if layers is not None else (network.default_layer,)
        order = [step for step, _ in network.steps()]
        for layer in self.layers:
            if layer not in order:
                raise ValueError(f"{name} has no layer {layer!r}; there are {', '.join(order)}")
        if list(self.layers) != sorted(self.layers, key=order.index):
            raise ValueError(f"layers of {name} must be named in its order, not {self.layers}")
        self.weights_file: WeightsFile | None = None
        if pretrained:
            self.weights_file = load_weights(network, name, weights, optional=network.tail)
        network.drop_after(self.layers[-1])
        self.channels = tuple(network.channels[layer] for layer in self.layers)
        self.network = network.requires_grad_(False)
        self.batch_norm = batch_norm
        mean, deviation = (
            ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
            if imagenet_statistics
            else ((0.5,) * 3, (0.5,) * 3)
        )
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1))
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        return super().train(mode and self.batch_norm == "train")

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        if images.shape[1] not in (1, 3):
            raise ValueError(f"a pretrained encoder takes 1 or 3 channels, not {images.shape[1]}")
        x = channels_last((images - self.mean) / self.deviation)
        maps = []
        for name, step in self.network.steps():
            x = step(x)
            if name in self.layers:
                maps.append(x)
        return tuple(maps)


class ConvEncoder(nn.Module):
    """A small convolutional encoder for 2-D and 3-D, `[N, channels, *S]` to one map of stride `stride`.

    Each halving is a 3×3 convolution of stride 2 and one of stride 1 (3×3×3 in 3-D), with group
    normalisation and SiLU; the width doubles from `width` up to `widest`; a 1×1 convolution gives
    `code` channels of the map. Group normalisation sees one image only, so that no score depends on
    a batch.

    `linear` further channels are linear filters of each cell of `stride` pixels per axis, without
    overlap, orthonormal at the start. An autoencoder drops what it cannot rebuild yet, such as fine
    detail, and a lesion may be just that; with `linear` = channels · stride^rank nothing is lost.
    """

    def __init__(
        self,
        rank: int,
        channels: int,
        *,
        width: int = 16,
        widest: int = 128,
        code: int = 64,
        linear: int = 0,
        stride: int = 8,
    ) -> None:
        super().__init__()
        if stride not in (4, 8, 16):
            raise ValueError(f"the stride of a conv encoder is 4, 8 or 16, not {stride}")
        convolution = CONVOLUTION[rank]
        steps: list[nn.Module] = []
        planes, previous = width, channels
        for _ in range(stride.bit_length() - 1):
            for channels_in, step_stride in ((previous, 2), (planes, 1)):
                steps += [
                    convolution(channels_in, planes, 3, step_stride, 1),
                    nn.GroupNorm(max(1, planes // 8), planes),
                    nn.SiLU(),
                ]
            previous, planes = planes, min(2 * planes, widest)
        steps.append(convolution(previous, code, 1))
        self.network = nn.Sequential(*steps)
        self.stride = stride
        self.linear: nn.Module | None = None
        if linear:
            filters = convolution(channels, linear, stride, stride)
            nn.init.orthogonal_(filters.get_parameter("weight"))
            self.linear = filters
        self.channels = (code + linear,)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x = channels_last(2 * images - 1)
        h = self.network(x)
        if self.linear is None:
            return (h,)
        short = [-length % self.stride for length in reversed(x.shape[2:])]
        padded = nn.functional.pad(x, [side for end in short for side in (0, end)], mode="replicate")
        return (torch.cat((h, self.linear(padded)), dim=1),)


def map_sizes(encoder: nn.Module, channels: int, size: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """The spatial sizes of the encoder's maps for images `[channels, *size]`, without computing them."""
    state = {name: tensor.to("meta") for name, tensor in encoder.state_dict().items()}
    maps = functional_call(encoder, state, (torch.empty(1, channels, *size, device="meta"),))
    return tuple(tuple(m.shape[2:]) for m in maps)


def chosen_channels(
    maps: Sequence[Tensor], chosen: Tensor, cells: Sequence[Cells], target: Cells, grid: tuple[int, ...]
) -> Tensor:
    """Some channels of several maps at the `grid` cells `target`: `[N, len(chosen), *grid]` float32.

    `chosen` counts through the maps' channels one map after another, in rising order. Each map has its
    `cells`; coarser maps are interpolated at the target's centres, finer ones averaged around them.
    """
    start, kept = 0, []
    for layer_map, places in zip(maps, cells, strict=True):
        end = start + layer_map.shape[1]
        layer_map = layer_map.index_select(1, chosen[(chosen >= start) & (chosen < end)] - start).float()
        kept.append(resample(layer_map, places, target, grid))
        start = end
    return torch.cat(kept, dim=1)
