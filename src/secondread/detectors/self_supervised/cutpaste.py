"""CutPaste: a classifier of pasted patches, and how far an image's embedding is from those of normals."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from secondread.anomalies.anomaly import Anomalies, MakeAnomalies
from secondread.anomalies.build import AnyAnomalySettings, make_anomalies
from secondread.anomalies.kinds.cutpaste import CutPasteSettings as PastedSettings
from secondread.detectors.blocks.drawn_anomalies import NOT_MEASURED, drawn_in, mean_and_bound
from secondread.detectors.blocks.encoder_settings import AnyEncoderSettings, build_encoder, encoder_kind
from secondread.detectors.blocks.gaussian import ComponentsSettings, Gaussian
from secondread.detectors.blocks.pooled_features import pooled
from secondread.detectors.blocks.valid_positions import valid_on
from secondread.detectors.contract import (
    Batch,
    Batches,
    Detector,
    Mixture,
    Part,
    Scores,
    ScoringNoise,
    Stage,
    Step,
    Tiny,
)
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.networks.by_rank import batch_norms
from secondread.networks.encoder import EncoderSettings, map_sizes
from secondread.networks.encoders.residual import ResidualSettings
from secondread.networks.precision import full_precision
from secondread.settings.base import Width

LEARNT = 0.2
"""Of the way from chance to 1, that the lower 95 % bound of the held-out accuracy should have come."""


class CutPasteSettings(DetectorSettings):
    name: Literal["cutpaste"] = "cutpaste"
    encoder: AnyEncoderSettings = Field(
        EncoderSettings(),
        description="fine-tuned where it comes with weights; residual or conv are trained from scratch. "
        "encoder.layer empty = its last level",
    )
    anomalies: AnyAnomalySettings = Field(
        PastedSettings(),
        description="what is drawn; each variant of the kind is a class, and is drawn into every image, "
        "whatever `share` says",
    )
    head: Annotated[tuple[Width, ...], Field(max_length=64)] = Field(
        (*[512] * 8, 128), description="widths of the layers between embedding and classes"
    )
    head_first: bool = Field(
        False, description="a stage `head` before, in which the encoder stays as it came"
    )
    momentum: float = Field(
        0.1,
        gt=0,
        le=1,
        description="share of a batch in the running statistics of batch normalisation; paper: 0.1. "
        "With small batches and few steps lower it, since the classifier hangs on them",
    )
    score: Literal["distance", "classifier"] = Field(
        "distance", description="of the embedding to those of normals; classifier: end to end, no Gaussian"
    )

    @model_validator(mode="after")
    def _something_to_keep(self) -> Self:
        if self.head_first and encoder_kind(self.encoder).learns:
            raise ValueError(
                f"head_first keeps an encoder as it came, and {self.encoder.name} comes untrained; "
                "leave it out"
            )
        return self


@dataclass(frozen=True)
class DrawVariants:
    """A stage's `draw`: every image of the cohort `normal` with each variant in turn, `[K N, C, *S]`, and the
    variant's number as its class, 0 where nothing could be drawn. A held-out batch of one image lacks the
    variants that take from others."""

    variants: tuple[MakeAnomalies, ...]

    def __call__(self, batches: Batches, generator: torch.Generator) -> dict[str, Anomalies]:
        batch = batches["normal"]
        images, lonely = batch.images.float(), len(batch) == 1 and "validation" in batches
        nothing = torch.zeros_like(images[:0, :1])
        every = [Anomalies(images[:0], nothing.bool(), nothing)]
        classes = [torch.zeros(0, dtype=torch.long, device=images.device)]
        for number, make in enumerate(self.variants, start=1):
            if not (make.from_others and lonely):
                every.append(make(images, generator, valid=batch.valid))
                classes.append(number * every[-1].changed.long())
        joined = Anomalies(
            torch.cat([made.images for made in every]),
            torch.cat([made.mask for made in every]),
            torch.cat([made.target for made in every]),
            torch.cat(classes),
        )
        return {"normal": joined}


class CutPaste(Detector):
    """A classifier that tells an image as it is from the same image with something pasted into it.

        e(x)  = mean over places of the encoder's last map, float32 `[N, D]`
        l(x)  = head(e(x)), one logit for each class; 0 is the image as it is, k variant k of `anomalies`
        loss  = mean of cross-entropy(l(x_k), k) over k = 0 to K and the batch's images, x_0 = x, x_k drawn
        two stages    score = sqrt((u - m)^T C^-1 (u - m)),  u = e(x) / |e(x)|, with m and C of the normals
        end to end    score = log (1 - p_0) / p_0,  p = softmax(l(x))

    So every image enters 1 + K times, drawn anew in each step: with a patch and with a scar (`cutpaste`,
    3-way), with one of them (its other forms), with a softly pasted part (`anatpaste`), or with whatever a
    kind draws. Where nothing could be drawn, such as in a black image, x_k counts as class 0. C is shrunk as
    Ledoit and Wolf have it (`estimators.shrunk_gaussian`). The log odds are the classifier's probability
    without ties. The parts are `distance`, unless it is left out, and `classifier`; `score` says which one is
    the image's. The head is linear layers with batch normalisation and ReLU, and a last linear one.

    After training the accuracy on held-out normals and what is drawn in them, its lower 95 % bound over
    images, and the share of the largest class are the buffer `held_out_accuracy` and stand in the log; a
    bound near chance is warned of. There is no map: the last level's cells are too large to show one.

    Images `[N, C, *S]` in [0, 1]. ValueError for images that the encoder does not take.

    Sources: C.-L. Li, K. Sohn, J. Yoon, T. Pfister, CutPaste: self-supervised learning for anomaly detection
    and localization, CVPR 2021; head and frozen first epochs as later implementations have them. J. Sato et
    al., Anatomy-aware self-supervised learning for anomaly detection in chest radiographs, iScience 2023.
    """

    Settings = CutPasteSettings
    settings: CutPasteSettings
    ranks = frozenset({2, 3})

    def build(self, *, pretrained: bool) -> None:
        settings = self.settings
        self.encoder = build_encoder(
            settings.encoder,
            len(self.size),
            self.channels,
            pretrained=pretrained,
            layers=last_layer(settings),
        )
        self.grid = map_sizes(self.encoder, self.channels, self.size)[-1]
        self.draw = DrawVariants(tuple(make_anomalies(one) for one in settings.anomalies.variants()))
        width = self.encoder.channels[-1]
        self.head = classifier(width, settings.head, 1 + len(self.draw.variants))
        for norm in (*batch_norms(self.encoder), *batch_norms(self.head)):
            norm.momentum = settings.momentum
        self.gaussian = Gaussian(width) if settings.score == "distance" else None
        self.held_out_accuracy: Tensor
        self.register_buffer("held_out_accuracy", torch.full((3,), NOT_MEASURED))

    def stages(self) -> Iterator[Stage]:
        on = {"normal": 1.0}
        if self.settings.head_first:
            yield Stage(
                "head",
                on,
                [Step((self.head,), self.loss, name="head")],
                validate="steps",
                draw=self.draw,
                score=self.odds,
            )
        yield Stage(
            "classification",
            on,
            [Step((self.encoder, self.head), self.loss, name="classification")],
            validate="steps",
            draw=self.draw,
            examine=self.examine,
            score=self.odds,
        )
        if self.gaussian is not None:
            yield Stage("density", on, collect=self.collect, finish=self.finish)

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        drawn, classes = self.drawn(batches["normal"], generator)
        return {"classification": functional.cross_entropy(self.logits(drawn), classes)}

    def drawn(self, batch: Batch, generator: torch.Generator) -> tuple[Batch, Tensor]:
        """The images as they are and then with each variant, `[(1 + K) N, C, *S]`, and their classes: what
        the loop has drawn or, where it did not, what is drawn here."""
        images = batch.images.float()
        made = drawn_in(self.draw, {"normal": batch}, generator, training=self.training)
        assert made.classes is not None
        every = torch.cat((images, made.images))
        valid = None if batch.valid is None else torch.cat([batch.valid] * (len(every) // len(batch)))
        return Batch(every, valid), torch.cat((made.classes.new_zeros(len(batch)), made.classes))

    def embedding(self, batch: Batch) -> Tensor:
        """e, float32 `[N, D]`."""
        return pooled(self.encoder(batch.images)[-1], valid_on(batch.valid, self.grid), "mean")

    def logits(self, batch: Batch) -> Tensor:
        """float32 `[N, 1 + K]`."""
        found: Tensor = self.head(self.embedding(batch))
        return found.float()

    def odds(self, batch: Batch, noise: ScoringNoise | None = None) -> Tensor:
        """The log odds that something was drawn, `[N]`."""
        with full_precision(batch.images):
            return log_odds(self.logits(batch))

    def examine(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        right_of_images: list[float] = []
        count, right_of_classes = torch.zeros(2, 1 + len(self.draw.variants), dtype=torch.float64)
        for batch in held_out:
            drawn, classes = self.drawn(batch, generator)
            with full_precision(drawn.images):
                right = (self.logits(drawn).argmax(dim=1) == classes).double().cpu()
            right_of_images += right.view(-1, len(batch)).mean(dim=0).tolist()
            classes = classes.cpu()
            count.index_add_(0, classes, torch.ones_like(right))
            right_of_classes.index_add_(0, classes, right)
        accuracy, chance = float(right_of_classes.sum() / count.sum()), float(count.max() / count.sum())
        _, bound = mean_and_bound(right_of_images)
        self.held_out_accuracy.copy_(torch.tensor((accuracy, bound, chance)))
        by_class = (right_of_classes / count).tolist()
        return {
            "accuracy on drawn anomalies": accuracy,
            "lower bound": bound,
            "share of the largest class": chance,
            **{f"accuracy of class {number}": share for number, share in enumerate(by_class)},
        }

    def warnings(self) -> tuple[str, ...]:
        accuracy, bound, chance = self.held_out_accuracy.tolist()
        wanted = chance + LEARNT * (1 - chance)
        if accuracy == NOT_MEASURED or bound >= wanted:
            return ()
        return (
            f"the classifier hardly tells what is drawn in held-out normals (accuracy {accuracy:.2f} with a "
            f"lower 95 % bound of {bound:.2f}, chance {chance:.2f}; a bound of {wanted:.2f} is asked for): "
            "its odds may rank by chance, and its embedding say little; train longer, or draw anomalies that "
            "show",
        )

    def collect(self, batches: Batches) -> None:
        assert self.gaussian is not None
        self.gaussian.add(self.direction(self.embedding(batches["normal"])))

    def finish(self) -> None:
        """m and C. `UserError` with fewer than two normals."""
        assert self.gaussian is not None
        self.gaussian.fit(ComponentsSettings(), "cutpaste")

    def direction(self, embedding: Tensor) -> Tensor:
        return functional.normalize(embedding, dim=1)

    def mixture(self) -> Mixture:
        return Mixture({self.settings.score: 1.0}, scaled=False)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        with full_precision(batch.images):
            embedding = self.embedding(batch)
            parts = {"classifier": Part(log_odds(self.head(embedding)))}
            if self.gaussian is not None:
                parts["distance"] = Part(self.gaussian.distance(self.direction(embedding)))
        return Scores(parts)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        stages = {
            "classification": StageSettings(steps=3, batch_size=4),
            "density": StageSettings(batch_size=4),
        }
        if rank == 3:
            scratch = ResidualSettings(width=4, blocks=1, layer="layer2")
            return Tiny(CutPasteSettings(encoder=scratch, head=(8,)), 1, (16, 16, 16), stages)
        settings = CutPasteSettings(
            encoder=EncoderSettings(weights="random", layer="features.4"), head=(8, 8), head_first=True
        )
        return Tiny(settings, 1, (32, 32), {"head": StageSettings(steps=2, batch_size=4), **stages})


def last_layer(settings: CutPasteSettings) -> tuple[str, ...] | None:
    """The layer that is named, or the encoder's last; None where it names none."""
    named = encoder_kind(settings.encoder).layers_by_stride
    layer = settings.encoder.layer or (named[max(named)] if named else None)
    return None if layer is None else (layer,)


def classifier(dimensions: int, widths: Sequence[int], classes: int) -> nn.Sequential:
    """`[N, dimensions]` to logits `[N, classes]`."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise((dimensions, *widths)):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear((dimensions, *widths)[-1], classes))


def log_odds(logits: Tensor) -> Tensor:
    """log (1 - p_0) / p_0 of logits `[N, 1 + K]`, `[N]`."""
    return logits[:, 1:].logsumexp(dim=1) - logits[:, 0]
