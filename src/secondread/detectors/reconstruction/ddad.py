"""DDAD: where networks of normals disagree, with each other and with networks that saw unlabelled images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from secondread.anomalies.build import AnyAnomalySettings, make_anomalies
from secondread.anomalies.kinds.fpi import ForeignPatchSettings
from secondread.detectors import find
from secondread.detectors.blocks.drawn_anomalies import (
    NOT_MEASURED,
    SHOWN,
    DrawInNormals,
    drawn_in,
    mean_and_bound,
    pixel_areas,
)
from secondread.detectors.blocks.reconstruction import (
    NetworkSettings,
    ReconstructionDetector,
    one_sided,
    refuse_one_image,
    symmetric,
)
from secondread.detectors.blocks.valid_positions import mean_over
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
from secondread.detectors.reconstruction.ae import AESettings
from secondread.detectors.reconstruction.aeu import AEUSettings
from secondread.detectors.reconstruction.memae import MemAESettings
from secondread.networks.ensemble import Ensemble, evaluating
from secondread.networks.precision import full_precision
from secondread.networks.refiner import Refiner, focal_loss
from secondread.settings.base import Settings, Width

INPUTS = {"r_intra": ("intra",), "r_dual": ("inter", "intra")}
"""The maps that each refiner sees, and first the one that is the score where they show it nothing."""
DISCREPANCIES = ("inter", "intra")

BackboneSettings = Annotated[AESettings | MemAESettings | AEUSettings, Field(discriminator="name")]


class RefinerSettings(Settings):
    """See `networks.refiner`."""

    width: Width = 128
    gamma: float = Field(2.0, ge=0, description="of the focal loss; 0 is cross-entropy")


class DDADSettings(DetectorSettings):
    """The defaults are the paper's, with AE-U."""

    name: Literal["ddad"] = "ddad"
    backbone: BackboneSettings = AEUSettings()
    members: int = Field(3, ge=2, le=64, description="networks in each ensemble")
    score: Literal["rec", "intra", "inter", "r_intra", "r_dual"] = "r_dual"
    refiners: tuple[Literal["r_intra", "r_dual"], ...] = Field(
        ("r_intra", "r_dual"), description="which are trained, and reported as parts"
    )
    refiner: RefinerSettings = RefinerSettings()
    anomalies: AnyAnomalySettings = ForeignPatchSettings()
    run: Literal["auto", "sequential", "batched"] = Field(
        "auto", description="how the networks of a trained ensemble are run; the same numbers either way"
    )

    @model_validator(mode="after")
    def _score_is_trained(self) -> DDADSettings:
        if self.score in ("r_intra", "r_dual") and self.score not in self.refiners:
            raise ValueError(f"score {self.score} needs its refiner: add {self.score} to refiners")
        if len(set(self.refiners)) < len(self.refiners):
            raise ValueError("refiners names one twice")
        return self

    @property
    def unlabelled(self) -> bool:
        """Whether an ensemble of normal and unlabelled images is trained."""
        return self.score in ("inter", "r_dual") or "r_dual" in self.refiners


class DDAD(Detector):
    """Discrepancies of two ensembles of K reconstruction networks, refined by one trained on drawn anomalies.

    Networks b_1 … b_K learn normals alone, a_1 … a_K normal and unlabelled images together; within an
    ensemble they differ in their initial parameters. With m_b, m_a the means of their reconstructions of x,

        rec     (x - m_b)^2          in AE-U's form  (x - m_b)^2 / s
        intra   sd_k(b_k)                            sd_k(b_k) / sqrt(s)
        inter   |m_a - m_b|                          |m_a - m_b| / sqrt(s),   s = mean_k exp(v_k) of the b_k
        r_intra softmax(refiner(intra))_abnormal
        r_dual  softmax(refiner(inter, intra))_abnormal

    sd divides by K - 1; each is a map `[N, 1, *size]`, mean over channels. Unlabelled images that the first
    ensemble cannot know and the second has learned make `inter` large where they are abnormal.

    Stages: `normal-1` … `normal-K` (section `normal`) train the networks of the first ensemble, each by
    itself, `mixture-1` … `mixture-K` (section `mixture`) those of the second on every normal and unlabelled
    image once an epoch. `refine-r_intra` and `refine-r_dual` (section `refine`) each train a refiner
    (`networks.refiner`) on normals of which some have a synthetic anomaly, by the focal loss of whether a
    place was changed, the ensembles frozen in eval mode and in float32. Without `inter` and `r_dual` no
    unlabelled image is needed, and there is no `mixture`. Epochs of a network are compared by its own error.

    A refiner learns nothing where its maps do not show what is drawn, and then ranks by chance. So after the
    ensembles, in the stage `discrepancies`, anomalies are drawn in each held-out normal image, as for
    refinement, and the AUROC of `inter` and `intra` over its pixels is taken. Where no map that the score's
    refiner sees has a mean over images whose lower 95 % bound reaches 0.6, score and map are the discrepancy
    itself: `inter` for `r_dual`, `intra` for `r_intra`. No label is in that rule. Means and bounds are the
    buffer `patch_auroc`, and stand in the log. Refiners are trained and reported either way.

    Parts: each map's mean over valid positions, and `single`, the score of the first network of normals
    alone (a plain `ae`, `memae` or `aeu`). The map is that of `score`. Images `[N, C, *size]` in [0, 1].

    Source: Y. Cai, H. Chen, X. Yang, Y. Zhou, K.-T. Cheng, Dual-distribution discrepancy with
    self-supervised refinement for anomaly detection in medical images, Medical Image Analysis 2023 (MICCAI
    2022 without the refiners).
    """

    Settings = DDADSettings
    settings: DDADSettings
    ranks = frozenset({2, 3})
    added_later = frozenset({"patch_auroc"})

    def build(self, *, pretrained: bool) -> None:
        settings, channels = self.settings, self.channels
        self.needs = frozenset({"normal", "unlabelled"} if settings.unlabelled else {"normal"})
        kind = find(settings.backbone.name)
        assert issubclass(kind, ReconstructionDetector)
        self.kind = kind
        self.draw = DrawInNormals(make_anomalies(settings.anomalies))

        def build() -> nn.Module:
            return kind.build_network(settings.backbone, channels, self.size)

        self.normal = Ensemble(build, settings.members, run=settings.run)
        self.mixed: Ensemble | None = None
        if settings.unlabelled:
            self.mixed = Ensemble(build, settings.members, run=settings.run)
        self.refiners = nn.ModuleDict(
            {
                name: Refiner(len(self.size), len(INPUTS[name]), settings.refiner.width)
                for name in settings.refiners
            }
        )

        self.patch_auroc: Tensor | None
        rows = torch.full((len(DISCREPANCIES), 2), NOT_MEASURED)  # mean and lower bound of each
        self.register_buffer("patch_auroc", rows if self.refiners else None)

    def stages(self) -> Iterator[Stage]:
        on: dict[str, Mapping[str, float | None]] = {"normal": {"normal": 1.0}}
        if self.mixed is not None:
            on["mixture"] = {"normal": None, "unlabelled": None}
        for section, ensemble in zip(on, (self.normal, self.mixed), strict=False):
            assert ensemble is not None
            for number, network in enumerate(ensemble.members, start=1):
                yield Stage(
                    f"{section}-{number}",
                    on[section],
                    [
                        Step(
                            (network,),
                            partial(self.reconstruction_loss, network, tuple(on[section])),
                            name=section,
                        )
                    ],
                    validate="steps",
                    score=partial(self.error_of, network),
                    section=section,
                    follows=(),
                )
        if self.refiners:
            yield Stage("discrepancies", {"normal": 1.0}, examine=self.examine)
        before = [f"{section}-{number}" for section in on for number in range(1, self.settings.members + 1)]
        for name in self.refiners:
            yield Stage(
                f"refine-{name}",
                {"normal": 1.0},
                [Step((self.refiners[name],), partial(self.refinement_loss, name), name="refine")],
                validate="steps",
                draw=self.draw,
                score=partial(self.image_score, name),
                section="refine",
                follows=[*before, "discrepancies"],
            )

    def reconstruction_loss(
        self, network: nn.Module, cohorts: Sequence[str], batches: Batches, generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        """The backbone's loss of one network, of all images of the cohorts."""
        batch = Batch.joined(batches[name] for name in cohorts if name in batches)
        refuse_one_image(self, len(batch))
        x = symmetric(batch.images)
        return self.kind.terms(self.settings.backbone, network(x), x, batch.valid)

    def refinement_loss(self, name: str, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        """The focal loss of a refiner."""
        batch = batches["normal"]
        refuse_one_image(self, len(batch))
        made = drawn_in(self.draw, {"normal": batch}, generator, training=self.training)
        maps, _ = self.discrepancies(symmetric(made.images))
        losses = focal_loss(self.refined(name, maps), made.target > 0, self.settings.refiner.gamma)
        return {name: mean_over(losses, batch.valid).mean()}

    def error_of(self, network: nn.Module, batch: Batch, noise: ScoringNoise) -> Tensor:
        """The score `[N]` of one network alone, as the backbone has it."""
        x = symmetric(batch.images)
        return self._image_error(x, network(x), batch.valid)

    def _image_error(self, x: Tensor, output: Any, valid: Tensor | None) -> Tensor:
        seen = one_sided(x, self.kind.mean(output), self.settings.backbone.residual)
        return self.kind.image_error(self.settings.backbone, output, seen, valid)

    def discrepancies(self, x: Tensor) -> tuple[dict[str, Tensor], list[object]]:
        """`rec`, `intra` and, where there is a second ensemble, `inter` of x in [-1, 1], float32
        `[N, 1, *size]`, without gradient; and what each network of normals gave."""
        backbone = self.settings.backbone
        parts = [self.normal] if self.mixed is None else [self.normal, self.mixed]
        with evaluating(*parts), full_precision(x):
            outputs = self.normal.each(x)
            rebuilt = torch.stack([self.kind.mean(output) for output in outputs])
            centre = rebuilt.mean(dim=0)
            variances = [self.kind.variance(backbone, output) for output in outputs]
            known = [variance for variance in variances if variance is not None]
            deviation = torch.stack(known).mean(dim=0).sqrt() if known else torch.ones_like(centre)
            spread = (rebuilt - centre).square().sum(dim=0) / (len(rebuilt) - 1)
            seen = one_sided(x, centre, backbone.residual)
            maps = {"rec": ((seen - centre) / deviation).square(), "intra": spread.sqrt() / deviation}
            if self.mixed is not None:
                mixed = torch.stack([self.kind.mean(output) for output in self.mixed.each(x)])
                maps["inter"] = (mixed.mean(dim=0) - centre).abs() / deviation
        return {name: values.mean(dim=1, keepdim=True) for name, values in maps.items()}, outputs

    def examine(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        """How well each discrepancy shows anomalies drawn in held-out normals: the mean over images of the
        AUROC over pixels, and its lower 95 % bound, 0 where there are too few."""
        assert self.patch_auroc is not None
        drawn = self.settings.anomalies.model_copy(update={"share": 1.0})
        names = DISCREPANCIES if self.mixed is not None else DISCREPANCIES[1:]

        def maps_of(images: Tensor) -> dict[str, Tensor]:
            maps, _ = self.discrepancies(symmetric(images))
            return {name: maps[name] for name in names}

        areas = pixel_areas(held_out, make_anomalies(drawn), maps_of, generator)
        figures = {}
        for name in names:
            values = areas.get(name, [])
            mean, bound = mean_and_bound(values)
            self.patch_auroc[DISCREPANCIES.index(name)] = torch.tensor((mean, bound)).to(self.patch_auroc)
            figures[f"AUROC of {name} for drawn anomalies"] = mean if values else math.nan
            figures[f"lower bound of {name}"] = bound
        return figures

    @property
    def scored(self) -> str:
        """The part and map that are the score: those of the settings, or the discrepancy where no map of its
        refiner shows what is drawn."""
        asked = self.settings.score
        if asked not in INPUTS or self.patch_auroc is None:
            return asked
        bounds = [float(self.patch_auroc[DISCREPANCIES.index(name), 1]) for name in INPUTS[asked]]
        measured = min(bounds) != NOT_MEASURED
        return INPUTS[asked][0] if measured and max(bounds) < SHOWN else asked

    def warnings(self) -> tuple[str, ...]:
        asked = self.settings.score
        if self.scored == asked or self.patch_auroc is None:
            return ()
        rows = zip(DISCREPANCIES, self.patch_auroc.tolist(), strict=True)
        told = ", ".join(
            f"{name} not measured, for too few held-out normals" if mean == NOT_MEASURED
            else f"{name} {mean:.2f} with a lower 95 % bound of {bound:.2f}"
            for name, (mean, bound) in rows
            if name in INPUTS[asked]
        )  # fmt: skip
        return (
            f"the discrepancies hardly show what is drawn in held-out normals (pixel AUROC of {told}; a "
            f"bound of {SHOWN} is asked for), so the refiner may rank by chance: score and map are "
            f"{self.scored} in place of {asked}",
        )

    def refined(self, name: str, maps: dict[str, Tensor]) -> Tensor:
        """The refiner's logits `[N, 2, *size]`."""
        logits: Tensor = self.refiners[name](torch.cat([maps[part] for part in INPUTS[name]], dim=1))
        return logits

    def abnormal(self, name: str, maps: dict[str, Tensor]) -> Tensor:
        """The refiner's probability of an anomaly at each place, `[N, 1, *size]`."""
        return self.refined(name, maps).float().softmax(dim=1)[:, 1:]

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        x = symmetric(batch.images)
        found, outputs = self.discrepancies(x)
        for name in self.refiners:
            found[name] = self.abnormal(name, found)
        parts = {name: Part(mean_over(values, batch.valid)) for name, values in found.items()}
        single = self._image_error(x, outputs[0], batch.valid)
        chosen = self.scored
        return Scores({**parts, "single": Part(single)}, {chosen: found[chosen]} if maps else {})

    def image_score(self, name: str, batch: Batch, noise: ScoringNoise) -> Tensor:
        """The mean `[N]` of one map, refined or not."""
        maps, _ = self.discrepancies(symmetric(batch.images))
        return mean_over(self.abnormal(name, maps) if name in INPUTS else maps[name], batch.valid)

    def mixture(self) -> Mixture:
        return Mixture({self.scored: 1.0}, scaled=False)

    def map_mixture(self) -> Mixture | None:
        return Mixture({self.scored: 1.0}, scaled=False)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = DDADSettings(
            backbone=AEUSettings(network=NetworkSettings(width=4, hidden=16, latent=8)),
            members=2,
            refiners=("r_intra", "r_dual") if rank == 2 else ("r_dual",),
            refiner=RefinerSettings(width=4),
        )
        stage = StageSettings(steps=3, batch_size=6)
        shorter = StageSettings(steps=2, batch_size=6)
        stages = {"normal": stage, "mixture": shorter, "discrepancies": shorter, "refine": shorter}
        return Tiny(settings, 1, (16,) * rank, stages)
