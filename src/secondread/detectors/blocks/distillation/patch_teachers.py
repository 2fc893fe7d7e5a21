"""Teachers of patches: small networks that learn from an encoder what a patch is (Bergmann et al., 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from pydantic import Field, PositiveFloat, field_validator
from torch import Tensor, nn

from secondread.detectors.blocks.distillation.teacher_images import TEACHER_COHORTS, teacher_images
from secondread.detectors.blocks.encoder_settings import AnyEncoderSettings, build_encoder, refuse_learning
from secondread.detectors.contract import Batches, Stage, Step
from secondread.estimators.feature_normalisation import FeatureNormalisation
from secondread.networks.by_rank import resize
from secondread.networks.distillation.cut_patches import cut_patches
from secondread.networks.distillation.patch_losses import compactness, triplet
from secondread.networks.distillation.patch_network import PatchNetwork, PatchSide, refuse_small
from secondread.networks.encoder import EncoderSettings
from secondread.settings.base import Draws, Settings, Side, Width

Weight = Annotated[float, Field(ge=0, le=1e6)]


class PatchTeacherSettings(Settings):
    """A base beside `DetectorSettings`: its fields then stand among the detector's own. The defaults are the
    paper's."""

    patches: Annotated[tuple[PatchSide, ...], Field(min_length=1, max_length=3)] = Field(
        (17, 33, 65), description="sides in pixels; for each there is a teacher"
    )
    width: Width = Field(128, description="channels of a network's first layer; later ones have up to twice")
    descriptor: Width = Field(128, description="dimensions of a patch's descriptor")
    encoder: AnyEncoderSettings = Field(
        EncoderSettings(name="resnet18", layer="layer4"), description="from which the teachers learn"
    )
    enlarged: Side = Field(224, description="to which patches are brought for the encoder")
    cuts: Draws = Field(1, description="patches of each image in a step")
    across: tuple[PositiveFloat, PositiveFloat] = Field(
        (4.0, 16.0), description="patches side by side in an image, of the scales at which they are cut"
    )
    standardise: bool = Field(
        False, description="each channel of the encoder, on the images that the teachers learn from"
    )
    distillation: Weight = Field(1.0, description="of the distance from the encoder")
    metric: Weight = Field(1.0, description="of the triplet loss")
    compactness: Weight = Field(1.0, description="of the squared correlations between dimensions")
    margin: PositiveFloat = Field(1.0, description="of the triplet loss")
    luminance: float = Field(
        0.1, ge=0, le=1, description="most by which a positive patch is brighter or darker"
    )
    noise: float = Field(0.1, ge=0, le=1, description="standard deviation of a positive patch's noise")

    @field_validator("patches")
    @classmethod
    def _each_once(cls, patches: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(patches)) < len(patches):
            raise ValueError("names a side twice")
        return patches

    @field_validator("across")
    @classmethod
    def _rising(cls, across: tuple[float, float]) -> tuple[float, float]:
        if across[0] > across[1]:
            raise ValueError("should be the fewest and the most, in this order")
        return across

    @field_validator("encoder")
    @classmethod
    def _pretrained(cls, encoder: EncoderSettings) -> EncoderSettings:
        refuse_learning(encoder)
        return encoder


class PatchTeachers(nn.Module):
    """For each side of `patches` a network T of a patch's descriptor, learned from a frozen encoder P.

        L_k = |D(T(a)) - P(a)|²                  P: the mean over its map of the patch, brought to `enlarged`
        L_m = max(0, margin + d+ - d-)           d+ = |T(a) - T(b)|², b the patch a, the positive, moved by up
                                                 to a quarter of its side, lit otherwise and noised
                                                 d- = the lesser of |T(a) - T(c)|² and |T(b) - T(c)|²,
                                                 c a patch of the batch's next image
        L_c = sum over i < j of (correlation of dimensions i and j of T(a) over the batch)²

    each with its weight, means over the patches a of a batch. D is a linear layer, needed for learning alone.
    Patches come from random places, padding among them, at scales at which `across` of them lie side by side
    in the image's shorter side, uniformly.

    They learn from the recipe's auxiliary images (`cohorts.auxiliary`), natural ones in the paper, and from
    the normals themselves where there are none.
    """

    def __init__(
        self, settings: PatchTeacherSettings, channels: int, size: Sequence[int], *, pretrained: bool
    ) -> None:
        super().__init__()
        refuse_small(settings.patches, size)
        rank = len(size)
        self.settings = settings
        self.size = tuple(size)
        self.encoder = build_encoder(settings.encoder, rank, channels, pretrained=pretrained)
        features = self.encoder.channels[-1]
        self.normalisation = FeatureNormalisation(
            len(settings.patches) * features,
            (1,) * rank,
            standardise="channel" if settings.standardise else "none",
        )
        self.networks = nn.ModuleList(
            PatchNetwork(rank, channels, side, width=settings.width, descriptor=settings.descriptor)
            for side in settings.patches
        )
        self.decoders = nn.ModuleList(nn.Linear(settings.descriptor, features) for _ in settings.patches)

    def each(self) -> list[PatchNetwork]:
        return [network for network in self.networks if isinstance(network, PatchNetwork)]

    def stage(self) -> Stage:
        """In which they learn."""
        return Stage(
            "teacher",
            TEACHER_COHORTS,
            [Step((self.networks, self.decoders), self.loss, name="teacher")],
            validate="steps",
            prepare=self.prepare if self.settings.standardise else None,
        )

    def prepare(self, batches: Iterator[Batches], generator: torch.Generator) -> None:
        """Mean and deviation of the encoder's channels, of patches of each side."""

        def rows() -> Iterator[tuple[Tensor, None]]:
            for cohorts in batches:
                images = teacher_images(cohorts).images
                cut = [self._cut(images, side, generator)[0] for side in self.settings.patches]
                yield self._at_a_place(cut), None

        self.normalisation.fit(rows(), generator)

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        settings, images = self.settings, teacher_images(batches).images
        cut = [self._cut(images, side, generator) for side in settings.patches]
        wanted = self._wanted([anchors for anchors, _ in cut])
        terms = {}
        for side, network, decoder, (anchors, positives), features in zip(
            settings.patches, self.each(), self.decoders, cut, wanted, strict=True
        ):
            described = network(torch.cat((anchors, positives))).flatten(1).float()
            first, second = described.chunk(2)
            restored = decoder(first).float()
            distance = (restored - features).square().sum(dim=1).mean()
            terms[f"distillation {side}"] = settings.distillation * distance
            negatives = first.roll(1, dims=0)
            terms[f"metric {side}"] = settings.metric * triplet(first, second, negatives, settings.margin)
            terms[f"compactness {side}"] = settings.compactness * compactness(first)
        return terms

    def _wanted(self, patches: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What the encoder says of patches of each side, `[n, features]` each."""
        normalised: Tensor = self.normalisation(self._at_a_place(patches))
        return normalised.flatten(1).chunk(len(patches), dim=1)

    def _at_a_place(self, patches: Sequence[Tensor]) -> Tensor:
        """The encoder's channels of patches of each side, side by side, as maps of one place."""
        every = torch.cat([self._features(own) for own in patches], dim=1)
        return every.view(*every.shape, *[1] * len(self.size))

    @torch.no_grad()
    def _features(self, patches: Tensor) -> Tensor:
        side = self.settings.enlarged
        maps = self.encoder(resize(patches, (side,) * len(self.size)))[-1]
        return maps.float().flatten(2).mean(dim=2)

    @torch.no_grad()
    def _cut(self, images: Tensor, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Patches of each image, one after another for each of `cuts`, and their positives."""
        settings, rank = self.settings, len(self.size)
        images = images.float().repeat(settings.cuts, *[1] * (rank + 1))

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, device=generator.device).to(images.device)

        shorter, (fewest, most) = min(self.size), settings.across
        spacing = shorter / (side * (fewest + (most - fewest) * uniform(len(images))))
        centres = uniform(len(images), rank) * torch.tensor(self.size, device=images.device)
        moved = centres + (uniform(len(images), rank) - 0.5) * (side // 2) * spacing[:, None]
        coarsest = shorter / (side * fewest)
        anchors = cut_patches(images, centres, spacing, side, coarsest)
        positives = cut_patches(images, moved, spacing, side, coarsest)
        light = (2 * uniform(len(images), *[1] * (rank + 1)) - 1) * settings.luminance
        noise = torch.randn(positives.shape, generator=generator, device=generator.device).to(images.device)
        return anchors, positives + light + settings.noise * noise
