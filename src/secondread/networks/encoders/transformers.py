"""Vision transformers of the kinds DINOv2, DINOv3 and ViT, by the package `transformers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from secondread.networks.cells import Cells
from secondread.networks.encoder import Colour, Deviations, Encoder, EncoderSettings
from secondread.networks.vision_transformers.architecture import ArchitectureSettings
from secondread.networks.vision_transformers.model_folder import (
    model_folder,
    statistics_of,
    weights_of,
)
from secondread.networks.weights.find import WeightsFile


class TransformersSettings(EncoderSettings):
    """`layers` of a detector, and `layer`, are names of maps: `norm`, the last block's after the last norm;
    `blocks.0` and on, a block's as it is; `blocks.0.norm`, a block's after the last norm."""

    name: str = "transformers"
    model: str = Field(
        "",
        max_length=1_000,
        description="a folder with config.json, model.safetensors and preprocessor_config.json; or a name on "
        "the Hugging Face hub, such as facebook/dinov2-small",
    )
    revision: str | None = Field(
        None, max_length=200, description="of the hub: a commit, branch or tag; empty = main"
    )
    download: bool = Field(False, description="fetch a model of the hub that is not on this machine")
    mean: Colour | None = Field(None, description="of [0, 1]; empty = as preprocessor_config.json says")
    deviation: Deviations | None = Field(
        None, description="of [0, 1]; empty = as preprocessor_config.json says"
    )
    architecture: ArchitectureSettings | None = Field(
        None, description="empty = as config.json says; a fit fills it in"
    )


class TransformersEncoder(Encoder):
    """Patch tokens of a vision transformer as maps: `[N, 1 or 3, H, W]` in [0, 1] to a tuple of
    `[N, C, ceil(H / patch), ceil(W / patch)]`.

    Grey is repeated to three channels; mean and deviation of the model's preprocessor are subtracted and
    divided. The class token and registers are left out. An image whose sides are no multiples of the patch is
    continued at its lower and right end with the values of its edge: no pixel is resampled or left out, and
    cell i looks at (patch - 1) / 2 + patch · i. The position codes are those that the model itself makes for
    such a size. Parameters never train; blocks behind the last one that is asked for are dropped.

    ValueError for layers, channels or an architecture that there is not; UserError for files.
    """

    Settings = TransformersSettings

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str],
        statistics: tuple[Sequence[float], Sequence[float]],
        weights_file: WeightsFile | None = None,
    ) -> None:
        super().__init__()
        blocks = _blocks(model)
        names = [name for block in range(len(blocks)) for name in (f"blocks.{block}", f"blocks.{block}.norm")]
        order = {name: index for index, name in enumerate(names)} | {"norm": len(names) - 1}
        for layer in layers:
            if layer not in order:
                raise ValueError(
                    f"encoder transformers has no layer {layer!r}; there are norm, blocks.0 to "
                    f"blocks.{len(blocks) - 1}, and blocks.0.norm and on"
                )
        if list(layers) != sorted(layers, key=order.__getitem__) or len(set(layers)) < len(layers):
            raise ValueError(
                f"layers of a transformer must be named once and in its order, not {tuple(layers)}"
            )
        # of each layer its block, and whether the last norm follows
        self.wanted = tuple((order[layer] // 2, order[layer] % 2 == 1) for layer in layers)
        del blocks[self.wanted[-1][0] + 1 :]
        config: Any = model.config
        self.patch: int = config.patch_size
        self.channels = (config.hidden_size,) * len(self.wanted)
        self.weights_file = weights_file
        self.interpolate = {"interpolate_pos_encoding": True} if config.model_type == "vit" else {}
        self.model = model.requires_grad_(False)
        self.mean: Tensor
        self.deviation: Tensor
        for name, values in zip(("mean", "deviation"), statistics, strict=True):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1))
        self.train(False)

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
        assert isinstance(settings, TransformersSettings)
        if channels not in (1, 3):
            raise ValueError(
                f"encoder transformers takes 1 or 3 channels, and preprocessing gives {channels}"
            )
        layers = layers or (settings.layer or "norm",)
        if settings.architecture is None:
            raise ValueError("encoder transformers: set encoder.model to a model's folder")
        mean, deviation = settings.mean, settings.deviation
        if not pretrained or settings.weights == "random":
            statistics = (mean or (0.5,) * 3, deviation or (0.5,) * 3)
            return cls(settings.architecture.build(), layers, statistics)
        folder = _folder(settings)
        if mean is None or deviation is None:
            found = statistics_of(folder)
            mean, deviation = mean or tuple(found[0]), deviation or tuple(found[1])
        weights = weights_of(folder)
        return cls(settings.architecture.load(folder), layers, (mean, deviation), weights)

    @classmethod
    def completed(cls, settings: EncoderSettings) -> EncoderSettings:
        assert isinstance(settings, TransformersSettings)
        if settings.architecture is not None or not settings.model:
            return settings
        architecture = ArchitectureSettings.read(_folder(settings))
        return settings.model_copy(update={"architecture": architecture})

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    def map_cells(self, channels: int, size: Sequence[int]) -> tuple[Cells, ...]:
        offset, stride = (self.patch - 1) / 2, float(self.patch)
        return (Cells((offset,) * len(size), (stride,) * len(size)),) * len(self.wanted)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        if images.shape[1] not in (1, 3):
            raise ValueError(f"a pretrained encoder takes 1 or 3 channels, not {images.shape[1]}")
        short = [-side % self.patch for side in images.shape[2:]]
        if any(short):
            images = nn.functional.pad(images, (0, short[1], 0, short[0]), mode="replicate")
        grid = [side // self.patch for side in images.shape[2:]]
        states: dict[int, Tensor] = {}
        hooks = [
            _blocks(self.model)[block].register_forward_hook(
                lambda _module, _given, state, block=block: states.__setitem__(
                    block, state[0] if isinstance(state, tuple) else state
                )
            )
            for block, _ in dict.fromkeys(self.wanted)
        ]
        try:
            self.model((images - self.mean) / self.deviation, **self.interpolate)
        finally:
            for hook in hooks:
                hook.remove()
        maps = []
        for block, normed in self.wanted:
            tokens = states[block]
            # the patches come last, behind the class token and the registers
            tokens = tokens[:, tokens.shape[1] - grid[0] * grid[1] :]
            if normed:
                tokens = _norm(self.model)(tokens)
            maps.append(tokens.unflatten(1, grid).movedim(-1, 1))
        return tuple(maps)


def _blocks(model: nn.Module) -> nn.ModuleList:
    """The model's blocks, wherever this version of the package keeps them."""
    (found,) = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and name.rpartition(".")[2] in ("layer", "layers")
    ]
    return found


def _norm(model: nn.Module) -> nn.Module:
    """The norm behind the last block."""
    return model.get_submodule("norm" if hasattr(model, "norm") else "layernorm")


def _folder(settings: TransformersSettings) -> Any:
    return model_folder(settings.model, settings.revision, download=settings.download)
