"""The residual encoder that another fit has learnt on images of one's own, frozen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from secondread.errors import UserError
from secondread.networks.encoder import EncoderSettings
from secondread.networks.encoders.residual import ResidualEncoder, ResidualSettings
from secondread.networks.learnt.bundle_encoder import LearntForm
from secondread.networks.weights import WeightsFile


class LearntSettings(ResidualSettings):
    """What the bundle says of its encoder need not be said; a fit fills it in."""

    name: str = "learnt"
    weights: str | None = Field(
        None,
        description="the folder of a bundle whose fit learnt an encoder, such as one of "
        "`one-class-contrastive`; 'random' = untrained (tests)",
    )
    rank: Literal[2, 3] = Field(2, description="of the images that it learnt from; a fit fills it in")
    colours: int = Field(1, ge=1, le=64, description="channels of these; a fit fills it in")
    digest: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="of the bundle; a fit fills it in")


class LearntEncoder(ResidualEncoder):
    """Maps of a residual encoder from a bundle: `[N, channels, *S]` in [0, 1] to those of `layer1` to
    `layer4`, of strides 4, 8, 16 and 32.

    It never trains unless a detector fine-tunes it, and stays in eval mode. What a bundle holds is checked as
    when it is loaded: no code, no size is believed before it is known. One that learnt from pictures reads
    volumes slice by slice. The bundle of a detector that has it holds its weights and needs no folder.

    ValueError for channels, ranks and layers that it did not learn; UserError for files.
    """

    Settings = LearntSettings
    learns = False
    weights_file: WeightsFile | None = None

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
        assert isinstance(settings, LearntSettings)
        read = pretrained and settings.weights != "random"
        if read and not settings.weights:
            raise ValueError("encoder learnt: set encoder.weights to the bundle of a fit that learnt one")
        if channels != settings.colours:
            raise ValueError(
                f"encoder learnt has learnt from images of {settings.colours} channel(s), and preprocessing "
                f"gives {channels}"
            )
        chosen = layers or (settings.layer or cls.layers_by_stride[16],)
        encoder = cls(rank, channels, chosen, width=settings.width, blocks=settings.blocks)
        if read:
            folder = _folder(settings)
            form = LearntForm.read(folder)
            if settings.digest not in (None, form.digest):
                raise UserError(
                    f"{folder}: this is not the bundle that encoder.digest names; leave digest out, or give "
                    "that one"
                )
            encoder.weights_file = form.load(folder, encoder, chosen)
        encoder.requires_grad_(False)
        return encoder.train(False)

    @classmethod
    def ranks_of(cls, settings: EncoderSettings) -> frozenset[int]:
        assert isinstance(settings, LearntSettings)
        return frozenset({settings.rank})

    @classmethod
    def completed(cls, settings: EncoderSettings) -> EncoderSettings:
        assert isinstance(settings, LearntSettings)
        if settings.digest is not None or settings.weights in (None, "", "random"):
            return settings
        form = LearntForm.read(_folder(settings))
        return LearntSettings.model_validate(
            {
                **settings.model_dump(),
                "rank": form.rank,
                "colours": form.channels,
                "width": form.width,
                "blocks": form.blocks,
                "digest": form.digest,
            }
        )

    def train(self, mode: bool = True) -> Self:
        return super().train(False)


def _folder(settings: LearntSettings) -> Path:
    return Path(settings.weights or "").expanduser()
