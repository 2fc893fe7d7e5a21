"""A network of a user's own, or of any package, as a frozen encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from secondread.errors import UserError
from secondread.networks.by_rank import channels_last
from secondread.networks.cells import Cells, followed_cells, on_meta
from secondread.networks.encoder import Colour, Deviations, Encoder, EncoderSettings, map_sizes
from secondread.networks.on_meta.shapes_only import ShapesOnly
from secondread.networks.weights.find import WeightsFile
from secondread.networks.weights.load import load_weights
from secondread.registry.outside import LONGEST, forbidden, import_place, is_allowed
from secondread.settings.base import Side

PROBES = {2: 224, 3: 64}
"""Sides by rank on which the maps' channels are counted where nothing is said."""
Whole = Annotated[int, Field(ge=-(1 << 31), le=1 << 31)]
Argument = bool | Whole | float | Annotated[str, Field(max_length=1_000)]


class ModuleSettings(EncoderSettings):
    """`layers` of a detector, and `layer`, are names of submodules, whose outputs are the maps; without any,
    the network's own output is, a tensor or a sequence of tensors."""

    name: str = "module"
    module: str = Field(
        "", max_length=LONGEST, description="package.module:callable, which makes the network"
    )
    arguments: dict[Annotated[str, Field(max_length=100)], Argument] = Field(
        default_factory=dict, max_length=64, description="of that callable, by name"
    )
    weights: str | None = Field(
        None,
        description="its state dict, a .safetensors or .pth file; empty = as the callable makes it",
    )
    volumes: bool = Field(False, description="the network takes volumes; else these come slice by slice")
    colours: Literal[1, 3] = Field(3, description="channels that the network takes; grey is repeated to 3")
    mean: Colour = Field((0.0, 0.0, 0.0), description="of [0, 1], subtracted; of 1 colour the first is taken")
    deviation: Deviations = Field((1.0, 1.0, 1.0), description="of [0, 1], divided by")
    cells: Literal["followed", "even"] = Field(
        "followed",
        description="where cells of a map look: followed through convolutions and pools, or spread evenly "
        "over the image where that way is not known",
    )
    probe: Side | None = Field(
        None, description="side of an image that it takes, to count channels; empty = 224, or 64 for volumes"
    )


class ModuleEncoder(Encoder):
    """Maps of any network: `[N, C, *S]` in [0, 1] to a tuple of `[N, C', *s]`.

    The callable is imported and called with its arguments only where a person allowed it, as all code from
    outside. What it makes is frozen and stays in eval mode; its state is kept in the bundle, and the callable
    is called again where the bundle is loaded. It should build the network alone and read no file, for it is
    called without memory first (torch's `meta` device); weights are what `weights` is for. Nothing behind the
    last of the layers is computed.

    ValueError for layers or outputs that are no maps; UserError for code that is not allowed, or not weights.
    """

    Settings = ModuleSettings

    def __init__(self, settings: ModuleSettings, network: nn.Module, layers: Sequence[str]) -> None:
        super().__init__()
        rank = 3 if settings.volumes else 2
        self.where, self.layers, self.colours = settings.module, tuple(layers), settings.colours
        self.evenly = settings.cells == "even"
        known = dict(network.named_modules())
        for layer in self.layers:
            if layer not in known:
                names = ", ".join([name for name in known if name][:12])
                raise ValueError(f"{self.where} has no submodule {layer!r}; it has {names}, …")
        if len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers of {self.where} must be named once, not {self.layers}")
        self.weights_file: WeightsFile | None = None
        self.network = network.requires_grad_(False)
        self.mean: Tensor
        self.deviation: Tensor
        for name, values in (("mean", settings.mean), ("deviation", settings.deviation)):
            one = torch.tensor(values[: self.colours], dtype=torch.float32)
            self.register_buffer(name, one.view(1, -1, *[1] * rank))
        self.train(False)
        side = settings.probe or PROBES[rank]
        image = torch.empty(1, self.colours, *[side] * rank, device="meta")
        try:
            with ShapesOnly():
                self.channels = tuple(h.shape[1] for h in functional_call(self, on_meta(self), (image,)))
        except (RuntimeError, TypeError, AttributeError) as error:
            told = " ".join(str(error).split())[:160]
            raise ValueError(
                f"{self.where} gives no maps of images of side {side} ({told}); see encoder.probe"
            ) from None

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
        assert isinstance(settings, ModuleSettings)
        if not settings.module:
            raise ValueError("encoder module: set encoder.module to package.module:callable")
        if channels not in (1, settings.colours):
            raise ValueError(
                f"encoder module takes {settings.colours} channels, and preprocessing gives {channels}"
            )
        if layers is None:
            layers = () if settings.layer is None else (settings.layer,)
        network = made_by(settings.module, settings.arguments)
        weights = None
        if pretrained and settings.weights not in (None, "random"):
            weights = load_weights(network, settings.module, settings.weights)
        encoder = cls(settings, network, layers)
        encoder.weights_file = weights
        return encoder

    @classmethod
    def ranks_of(cls, settings: EncoderSettings) -> frozenset[int]:
        assert isinstance(settings, ModuleSettings)
        return frozenset({3 if settings.volumes else 2})

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    def map_cells(self, channels: int, size: Sequence[int]) -> tuple[Cells, ...]:
        if self.evenly:
            strides = [
                tuple(length / cells for length, cells in zip(size, grid, strict=True))
                for grid in map_sizes(self, channels, size)
            ]
            return tuple(Cells(tuple((step - 1) / 2 for step in stride), stride) for stride in strides)
        try:
            return followed_cells(self, channels, size)
        except (ValueError, KeyError) as error:
            why = f" ({error})" if isinstance(error, ValueError) else ""
            raise ValueError(
                f"where the cells of {self.where} look is not known{why}; set encoder.cells to even"
            ) from None

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        if images.shape[1] != self.colours:
            images = images.expand(-1, self.colours, *images.shape[2:])
        x = channels_last((images - self.mean) / self.deviation)
        maps = self._of_layers(x) if self.layers else self.network(x)
        maps = (maps,) if isinstance(maps, Tensor) else maps
        for found in maps if isinstance(maps, list | tuple) else (maps,):
            if not isinstance(found, Tensor) or found.dim() != x.dim():
                axes = f" of {found.dim()} axes" if isinstance(found, Tensor) else ""
                raise ValueError(
                    f"{self.where} gives a {type(found).__name__}{axes}, and maps are tensors of {x.dim()}; "
                    "set layers to submodules whose outputs are maps"
                )
        return tuple(maps)

    def _of_layers(self, x: Tensor) -> list[Tensor]:
        found: dict[str, Any] = {}

        def keep(layer: str, output: Any) -> None:
            found[layer] = output
            if len(found) == len(self.layers):
                raise _Enough

        hooks = [
            self.network.get_submodule(layer).register_forward_hook(
                lambda _module, _given, output, layer=layer: keep(layer, output)
            )
            for layer in self.layers
        ]
        try:
            self.network(x)
        except _Enough:
            pass
        finally:
            for hook in hooks:
                hook.remove()
        missing = [layer for layer in self.layers if layer not in found]
        if missing:
            raise ValueError(f"{self.where} does not call its submodule {missing[0]!r}")
        return [found[layer] for layer in self.layers]


class _Enough(Exception):
    """Every map that is wanted is there."""


def made_by(place: str, arguments: Mapping[str, Any]) -> nn.Module:
    """What `package.module:callable` makes. UserError where nobody allowed it, or it makes no network."""
    if not is_allowed(place):
        raise forbidden("network", place)
    make = import_place(place)
    try:
        network = make(**arguments)
    except Exception as error:  # somebody else's code, which may raise anything
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"{place} makes no network ({told})") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"{place} makes a {type(network).__name__}, and an encoder needs a torch.nn.Module")
    return network
