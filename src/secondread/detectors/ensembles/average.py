"""Average: the mean of the standardised scores of several detectors, each trained by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BeforeValidator, Field, PositiveFloat, SerializeAsAny, model_validator
from torch import Tensor, nn

from secondread.detectors import DETECTORS
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
from secondread.detectors.contract.stage import Loss
from secondread.detectors.detector_settings import DetectorSettings
from secondread.errors import UserError
from secondread.networks.as_graph import written_as_graph
from secondread.settings.mistakes import validated_by_kind


def _of_their_kind(given: Any) -> Any:
    return validated_by_kind(given, lambda name: DETECTORS.chosen(name, "its name").Settings)


MemberName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
AnyDetectorSettings = Annotated[SerializeAsAny[DetectorSettings], BeforeValidator(_of_their_kind)]


class AverageSettings(DetectorSettings):
    name: Literal["average"] = "average"
    of: dict[MemberName, AnyDetectorSettings] = Field(
        min_length=1, max_length=16, description="the detectors' settings, each under a name of your own"
    )
    weights: dict[MemberName, PositiveFloat] = Field(
        default_factory=dict, description="of detectors, by their names here; 1 where nothing is said"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, settings in self.of.items():
            if isinstance(settings, AverageSettings):
                raise ValueError(f"of.{name} is an average itself; name its detectors here")
        if unknown := sorted(self.weights.keys() - self.of.keys()):
            raise ValueError(f"weights names {unknown[0]!r}, and of has {', '.join(self.of)}")
        return self


class Average(Detector):
    """score = sum over detectors d of w_d z_d / sum over d of w_d.

    z_d is the score of d standardised on held-out normals. A detector d whose own rule adds up raw parts has
    that sum as its part, called `d`. One whose rule adds up standardised parts has its parts, called
    `d_part`, each with its share of w_d: they are standardised one by one, and their sum is not again. Parts
    that d does not mix are reported and not mixed. The same goes for maps, of the detectors that give any.

    The stages are those of the detectors, and called `d_stage`; detectors may be trained at the same time.
    Epochs of a stage are compared by the stage's detector alone, by its parts as they are where its own rule
    standardises them.

    Source: C. C. Aggarwal, S. Sathe, Theoretical foundations and algorithms for outlier ensembles, SIGKDD
    Explorations 2015 (there standardised on the data that are scored).
    """

    Settings = AverageSettings
    settings: AverageSettings
    ranks = frozenset({2, 3})

    def build(self, *, pretrained: bool) -> None:
        members = {
            name: DETECTORS.find(settings.name)(settings, self.channels, self.size, pretrained=pretrained)
            for name, settings in self.settings.of.items()
        }
        self.members = nn.ModuleList(members.values())
        self.detectors = members
        every = list(members.values())
        self.needs = frozenset().union(*(member.needs for member in every))
        self.uses = frozenset().union(*(member.uses for member in every)) - self.needs
        self.ranks = frozenset({2, 3}).intersection(*(member.ranks for member in every))
        self.learns_from_masks = any(member.learns_from_masks for member in every)
        self.gradients_at_scoring = any(member.gradients_at_scoring for member in every)
        self.costly_scoring = any(member.costly_scoring for member in every)
        self.added_later = frozenset(
            f"members.{index}.{name}" for index, member in enumerate(every) for name in member.added_later
        )
        self.grows: Mapping[str, tuple[str | None, ...]] = {
            f"members.{index}.{name}": tuple(called and f"{index}.{called}" for called in axes)
            for index, member in enumerate(every)
            for name, axes in member.grows.items()
        }

        self.keeps = {
            f"members.{index}.{name}": kind
            for index, member in enumerate(every)
            for name, kind in member.keeps.items()
        }

    def stages(self) -> Iterator[Stage]:
        for index, (name, member) in enumerate(self.detectors.items()):
            before: list[str] = []
            for stage in member.stages():
                yield self._of_member(stage, f"members.{index}", name, member, before)
                before.append(stage.name)

    def why_no_graph(self) -> str | None:
        reasons = ((name, member.why_no_graph()) for name, member in self.detectors.items())
        return next((f"asks {name}, which {reason}" for name, reason in reasons if reason), None)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        parts: dict[str, Part] = {}
        placed: dict[str, Tensor] = {}
        for (name, member), own in zip(self.detectors.items(), self._noises(noise), strict=True):
            found = member.score(batch, own, maps=maps)
            raw = {part: one.values for part, one in found.parts.items()}
            shares = Shares.of(name, member.mixture())
            if not shares.joined or len(raw) > 1:
                parts |= {f"{name}_{part}": one for part, one in found.parts.items()}
            if shares.joined:
                tails = {found.parts[part].tail for part in member.mixture().weights}
                if len(member.mixture().weights) > 1 and "two" in tails:
                    raise ValueError(f"average adds up no two-sided parts, and {name} does")
                parts[name] = Part(shares.sum_of(raw), tails.pop())
            rule = member.map_mixture()
            if found.maps and rule is not None:
                of_maps = Shares.of(name, rule)
                if not of_maps.joined or len(found.maps) > 1:
                    placed |= {f"{name}_{part}": values for part, values in found.maps.items()}
                if of_maps.joined:
                    placed[name] = of_maps.sum_of(found.maps)
        return Scores(parts, placed)

    def mixture(self) -> Mixture:
        return self._mixed({name: member.mixture() for name, member in self.detectors.items()})

    def map_mixture(self) -> Mixture | None:
        rules = {name: member.map_mixture() for name, member in self.detectors.items()}
        given = {name: rule for name, rule in rules.items() if rule is not None}
        return self._mixed(given) if given else None

    def notes(self) -> tuple[str, ...]:
        return tuple(f"{name}: {line}" for name, member in self.detectors.items() for line in member.notes())

    def warnings(self) -> tuple[str, ...]:
        return tuple(
            f"{name}: {line}" for name, member in self.detectors.items() for line in member.warnings()
        )

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        forms = {name: DETECTORS.find(name).tiny(rank) for name in ("ae", "mahalanobis")}
        settings = AverageSettings(of={name: form.settings for name, form in forms.items()})
        stages = {
            f"{name}_{stage}": given if given.steps is None else given.model_copy(update={"steps": 4})
            for name, form in forms.items()
            for stage, given in form.stages.items()
        }
        return Tiny(settings, 1, forms["ae"].size, stages)

    def _mixed(self, rules: Mapping[str, Mixture]) -> Mixture:
        weights = {name: self.settings.weights.get(name, 1.0) for name in rules}
        total = sum(weights.values())
        return Mixture(
            {
                part: weights[name] / total * share
                for name, rule in rules.items()
                for part, share in Shares.of(name, rule).weights.items()
            }
        )

    def _noises(self, noise: ScoringNoise) -> list[ScoringNoise]:
        """A stream of each detector's own, whatever the others draw."""
        if written_as_graph():
            return [_NoStream([])] * len(self.detectors)
        drawn = [torch.randint(2**62, (len(self.detectors),), generator=g).tolist() for g in noise.generators]
        return [
            replace(noise, generators=[torch.Generator().manual_seed(seeds[index]) for seeds in drawn])
            for index in range(len(self.detectors))
        ]

    def _of_member(
        self, stage: Stage, prefix: str, name: str, member: Detector, before: Sequence[str]
    ) -> Stage:
        """A detector's stage as one of the average; `before`: the detector's earlier ones, which alone it may
        follow."""
        return replace(
            stage,
            name=f"{name}_{stage.name}",
            steps=[self._step(step, member) for step in stage.steps],
            validate=self._in_mode(stage.validate, member) if callable(stage.validate) else stage.validate,
            keeps=[f"{prefix}.{kept}" for kept in stage.keeps],
            score=stage.score or partial(_score_of, name, member),
            section=f"{name}_{stage.section}",
            follows=[f"{name}_{earlier}" for earlier in (before if stage.follows is None else stage.follows)],
        )

    def _step(self, step: Step, member: Detector) -> Step:
        return replace(step, loss=self._in_mode(step.loss, member))

    def _in_mode(self, loss: Loss, member: Detector) -> Loss:
        """The loss of a detector that is told whether a step runs, as it is where it stands alone."""

        def told(batches: Batches, generator: torch.Generator) -> Mapping[str, Tensor]:
            member.training = self.training
            return loss(batches, generator)

        return told


class _NoStream(ScoringNoise):
    """In a graph, whose reader draws from the image's own stream alone."""

    def normal(self, shape: Sequence[int]) -> Tensor:
        raise NotImplementedError("asks several detectors that draw random numbers, each from its own stream")

    uniform = normal


@dataclass(frozen=True)
class Shares:
    """How the parts of a detector of this name enter the average.

    weights  by the name of the average's part; what they add up to in size is 1
    joined   whether they are one part, the sum `own` of raw ones
    """

    weights: Mapping[str, float]
    joined: bool
    own: Mapping[str, float]

    @classmethod
    def of(cls, name: str, rule: Mixture) -> Self:
        if not rule.scaled:
            return cls({name: 1.0}, True, rule.weights)
        total = sum(abs(weight) for weight in rule.weights.values())
        return cls(
            {f"{name}_{part}": weight / total for part, weight in rule.weights.items()}, False, rule.weights
        )

    def sum_of(self, values: Mapping[str, Tensor]) -> Tensor:
        found = [weight * values[part] for part, weight in self.own.items()]
        return sum(found[1:], start=found[0])


def _score_of(name: str, member: Detector, batch: Batch, noise: ScoringNoise) -> Tensor:
    """The weighted sum of a detector's raw parts. UserError where one is two-sided."""
    parts = member.score(batch, noise, maps=False).parts
    weights = member.mixture().weights
    if any(parts[part].tail == "two" for part in weights):
        raise UserError(
            f"epochs of {name} cannot be compared within an average: its score is two-sided; set keep: last "
            "and no watch"
        )
    found = [weight * parts[part].values for part, weight in weights.items()]
    return sum(found[1:], start=found[0])
