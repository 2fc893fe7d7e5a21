"""The encoder that a detector's settings name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from secondread.networks.encoder import Encoder, EncoderSettings
from secondread.networks.encoders import ENCODERS
from secondread.networks.slices import SliceEncoder
from secondread.settings.mistakes import validated_by_kind


def _of_their_kind(given: Any) -> Any:
    default = EncoderSettings.model_fields["name"].default
    return validated_by_kind(given, lambda name: ENCODERS.chosen(name, "its name").Settings, default)


AnyEncoderSettings = Annotated[SerializeAsAny[EncoderSettings], BeforeValidator(_of_their_kind)]
"""Settings of any encoder, within those of a detector."""


def encoder_kind(settings: EncoderSettings) -> type[Encoder]:
    """The class of the encoder that settings name."""
    return ENCODERS.find(settings.name)


def refuse_learning(settings: EncoderSettings, who: str = "it needs") -> None:
    """ValueError for an encoder that a detector would have to train: it stays frozen, with its weights."""
    if encoder_kind(settings).learns:
        raise ValueError(f"{who} an encoder with pretrained weights, not {settings.name}")


STRIDES = (4, 8, 16)
"""Of the layers that detectors take where nothing is said."""


def layers_of_strides(settings: EncoderSettings, strides: Sequence[int] = STRIDES) -> tuple[str, ...]:
    """The encoder's layers of these strides, in its order. ValueError where it names none of one of them."""
    layers = encoder_kind(settings).layers_by_stride
    missing = sorted(set(strides) - layers.keys())
    if missing:
        named = ", ".join(map(str, layers)) or "none"
        raise ValueError(
            f"encoder {settings.name} names no layer of stride {', '.join(map(str, missing))} (of {named}); "
            "set layers"
        )
    return tuple(layers[stride] for stride in sorted(set(strides)))


def build_encoder(
    settings: EncoderSettings,
    rank: int,
    channels: int,
    *,
    pretrained: bool,
    layers: Sequence[str] | None = None,
) -> Encoder:
    """The encoder for images `[channels, *S]` with `len(S) == rank`; `layers` overrides `layer`. One that
    takes pictures alone reads a volume slice by slice (`networks.slices`). ValueError for another rank."""
    kind = encoder_kind(settings)
    own = kind.ranks_of(settings)
    identity = json.dumps([settings.model_dump(mode="json"), rank, channels, layers])
    if rank in own:
        encoder = kind.build(settings, rank, channels, layers=layers, pretrained=pretrained)
        encoder.identity = identity
        return encoder
    if rank not in encoder_ranks(settings):
        raise ValueError(f"encoder {settings.name} takes rank {sorted(own)}, not {rank}")
    slices = kind.build(settings, 2, channels, layers=layers, pretrained=pretrained)
    volumes = SliceEncoder(slices, settings.slices)
    volumes.identity = identity
    return volumes


def encoder_ranks(settings: EncoderSettings) -> frozenset[int]:
    """Of the images for which `build_encoder` gives the encoder that settings name."""
    ranks = encoder_kind(settings).ranks_of(settings)
    return ranks | {3} if 2 in ranks else ranks
