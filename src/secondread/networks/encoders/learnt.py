"""The residual encoder that another fit has learned on images of one's own, frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field

from secondread.networks.encoder import EncoderSettings
from secondread.networks.encoders.residual import ResidualEncoder, ResidualSettings
from secondread.networks.learnt.bundle_encoder import LearntForm
from secondread.networks.learnt.bundle_settings import BundleEncoderSettings
from secondread.networks.weights.find import WeightsFile


class LearntSettings(BundleEncoderSettings, ResidualSettings):
    """See `BundleEncoderSettings`."""

    name: str = "learnt"
    weights: str | None = Field(
        None,
        description="the folder of a bundle whose fit learned an encoder, such as one of "
        "`one-class-contrastive`; 'random' = untrained (tests)",
    )


class LearntEncoder(ResidualEncoder):
    """Maps of a residual encoder from a bundle: `[N, channels, *S]` in [0, 1] to those of `layer1` to
    `layer4`, of strides 4, 8, 16 and 32.

    It never trains unless a detector fine-tunes it, and stays in eval mode. What a bundle holds is checked as
    when it is loaded: no code, no size is believed before it is known. One that learned from pictures reads
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
        read = settings.to_be_read(channels, pretrained=pretrained, made_by="a fit that learned one")
        chosen = layers or (settings.layer or cls.layers_by_stride[16],)
        encoder = cls(rank, channels, chosen, width=settings.width, blocks=settings.blocks)
        if read:
            form = settings.checked(LearntForm.read(settings.folder))
            encoder.weights_file = form.load(settings.folder, encoder, chosen)
        encoder.requires_grad_(False)
        return encoder.train(False)

    @classmethod
    def ranks_of(cls, settings: EncoderSettings) -> frozenset[int]:
        assert isinstance(settings, LearntSettings)
        return frozenset({settings.rank})

    @classmethod
    def completed(cls, settings: EncoderSettings) -> EncoderSettings:
        assert isinstance(settings, LearntSettings)
        if not settings.incomplete:
            return settings
        form = LearntForm.read(settings.folder)
        return settings.filled_in(form, width=form.width, blocks=form.blocks)

    def train(self, mode: bool = True) -> Self:
        return super().train(False)
