"""What a person may set about a detector and its stages. No torch here: the command line reads it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, field_validator, model_validator

from secondread.settings.base import Count, Draws, Settings


class DetectorSettings(Settings):
    """What every detector has: its name. Each detector adds its own fields in a subclass.

    >>> import secondread
    >>> class Mine(secondread.DetectorSettings):
    ...     width: int = 32
    >>> Mine(name="mine").width
    32
    """

    name: str


class OptimiserSettings(Settings):
    name: Literal["adam", "adamw", "adamax", "sgd", "rmsprop"] = "adam"
    lr: PositiveFloat = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.0
    weight_decay: float = 0.0
    amsgrad: bool = Field(
        False, description="of adam and adamw: the step is by the largest second moment so far"
    )

    @model_validator(mode="after")
    def _amsgrad_of_adam(self) -> Self:
        if self.amsgrad and self.name not in ("adam", "adamw"):
            raise ValueError(f"amsgrad belongs to adam and adamw, and the optimiser is {self.name}")
        return self


class ScheduleSettings(Settings):
    """The learning rate over the stage: linear warm-up over `warmup` of all steps, then `name`.

    With t from 0 to 1 over the steps that follow: cosine (1 + cos(pi `falls` t)) / 2, linear 1 - t,
    polynomial (1 - t)^`power`, steps `factor` to the power of how many of `at` t has reached, each times the
    optimiser's rate.
    """

    name: Literal["constant", "cosine", "linear", "polynomial", "steps"] = "constant"
    warmup: float = Field(0.0, ge=0.0, le=1.0, description="share of all steps")
    falls: Annotated[int, Field(ge=1, le=10_001)] = Field(
        1,
        description="half periods of the cosine, which rises again in every second one; odd, to end at 0",
    )
    power: PositiveFloat = Field(0.9, description="of polynomial")
    at: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(max_length=100)] = Field(
        (0.8, 0.9), description="of steps: where the rate falls"
    )
    factor: PositiveFloat = Field(0.1, le=1, description="of steps: what the rate is multiplied by")

    @field_validator("falls")
    @classmethod
    def _ends_at_zero(cls, falls: int) -> int:
        if falls % 2 == 0:
            raise ValueError("should be odd, so that the rate ends at 0")
        return falls


class EarlyStopSettings(Settings):
    """Stop when the loss on held-out normals has not fallen by `min_delta` for `patience` epochs."""

    patience: Count = 10
    min_delta: float = 0.0


class MeasureSettings(Settings):
    """How epochs are compared without a label, for `keep` and `watch`. The last epoch is always measured."""

    every: Count = Field(1, description="epochs from one measurement to the next")
    images: int | None = Field(
        None,
        ge=2,
        le=10**9,
        description="of each cohort, at most; the same ones in every epoch; empty = 300, or 32 where the "
        "detector's scoring is costly",
    )
    anomalies: dict[str, Any] = Field(
        {"name": "fpi"},
        description="kind of synthetic anomaly, and its settings; each image gets one unless share is set",
    )
    anomaly_rate: float | None = Field(
        None, gt=0.0, le=1.0, description="share of the unlabelled images that is abnormal, where it is known"
    )

    @field_validator("anomalies")
    @classmethod
    def _has_a_name(cls, anomalies: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(anomalies.get("name"), str):
            raise ValueError("needs a name, such as name: fpi")
        return anomalies


class StageSettings(Settings):
    """One stage's training programme. `epochs` and `steps` are bounds; the smaller ends the stage.

    An epoch is one pass over the largest cohort of the stage. `keep` names the parameters that stay
    at the stage's end: the last, or those of the epoch that is best by a rule that needs no label.

        best        lowest loss on held-out normals
        synthetic   highest AUROC of the score between held-out normals and the same with synthetic anomalies
        unlabelled  highest AUROC of the score between held-out normals and unlabelled images (AUCp)

    `optimisers` has settings for single steps of the stage, by the step's name, where networks that play
    against each other need other rates (`optimisers.critic`); the other steps have `optimiser`. The schedule
    is the same for all.

    `watch` names rules whose value is measured and logged as well, without choosing by it.

    `augment` changes each training image anew every time, and a frozen part computes its features anew
    too. With `copies` training draws among the image itself and so many changed copies, the same in every
    epoch; their frozen features are computed once and kept, on `copies` + 1 times the disk space. A stage
    without a frozen part draws among the same forms. Held-out normals are never changed.

    >>> import secondread
    >>> secondread.StageSettings(epochs=3, optimiser={"name": "adam", "lr": 1e-4}).batch_size
    16
    """

    epochs: Count | None = None
    steps: Count | None = None
    batch_size: Count = 16
    optimiser: OptimiserSettings = OptimiserSettings()
    optimisers: dict[str, OptimiserSettings] = Field(
        default_factory=dict, description="settings of single steps, by their names"
    )
    schedule: ScheduleSettings = ScheduleSettings()
    clip_norm: PositiveFloat | None = None
    moving_average: float | None = Field(None, gt=0.0, lt=1.0, description="decay of the parameters' EMA")
    early_stop: EarlyStopSettings | None = None
    keep: Literal["last", "best", "synthetic", "unlabelled"] = "last"
    watch: tuple[Literal["synthetic", "unlabelled"], ...] = ()
    measure: MeasureSettings = MeasureSettings()
    keep_every: Count | None = Field(
        None, description="a bundle of every so many epochs besides, in OUT.epochs; of the last stage alone"
    )
    augment: tuple[Literal["flip", "rotate", "shift", "intensity"], ...] = ()
    rotation: PositiveFloat = Field(10.0, le=180.0, description="degrees: the largest turn of `rotate`")
    copies: Draws | None = Field(
        None, description="changed copies of each image to draw among; empty = changes are drawn anew"
    )

    @property
    def measured(self) -> tuple[str, ...]:
        """The rules whose value takes scores, in a fixed order."""
        return tuple(rule for rule in ("synthetic", "unlabelled") if rule in {self.keep, *self.watch})

    @model_validator(mode="after")
    def _copies_of_something(self) -> Self:
        if self.copies is not None and not self.augment:
            raise ValueError("copies needs augment, which says how they are changed; set it, or no copies")
        return self
