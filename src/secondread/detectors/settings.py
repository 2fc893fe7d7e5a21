"""What a person may set about a detector and its stages. No torch here: the command line reads it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from secondread.settings import Settings


class DetectorSettings(Settings):
    """What every detector has: its name. Each detector adds its own fields in a subclass."""

    name: str


class OptimiserSettings(Settings):
    name: Literal["adam", "adamw", "adamax", "sgd", "rmsprop"] = "adam"
    lr: PositiveFloat = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.0
    weight_decay: float = 0.0


class ScheduleSettings(Settings):
    """The learning rate over the stage: linear warm-up over `warmup` of all steps, then `name`."""

    name: Literal["constant", "cosine", "linear"] = "constant"
    warmup: float = Field(0.0, ge=0.0, le=1.0, description="share of all steps")


class EarlyStopSettings(Settings):
    """Stop when the loss on held-out normals has not fallen by `min_delta` for `patience` epochs."""

    patience: PositiveInt = 10
    min_delta: float = 0.0


class StageSettings(Settings):
    """One stage's training programme. `epochs` and `steps` are bounds; the smaller ends the stage.

    An epoch is one pass over the largest cohort of the stage. `keep` names the parameters that stay
    at the stage's end: the last, or those of the epoch with the lowest loss on held-out normals.

    `augment` changes each training image anew every time, and a frozen part computes its features anew
    too. With `copies` training draws among the image itself and so many changed copies, the same in every
    epoch; their frozen features are computed once and kept, on `copies` + 1 times the disk space. A stage
    without a frozen part draws among the same forms. Held-out normals are never changed.
    """

    epochs: PositiveInt | None = None
    steps: PositiveInt | None = None
    batch_size: PositiveInt = 16
    optimiser: OptimiserSettings = OptimiserSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    clip_norm: PositiveFloat | None = None
    moving_average: float | None = Field(None, gt=0.0, lt=1.0, description="decay of the parameters' EMA")
    early_stop: EarlyStopSettings | None = None
    keep: Literal["last", "best"] = "last"
    augment: tuple[Literal["flip", "rotate", "shift", "intensity"], ...] = ()
    copies: PositiveInt | None = Field(
        None, description="changed copies of each image to draw among; empty = changes are drawn anew"
    )

    @model_validator(mode="after")
    def _copies_of_something(self) -> Self:
        if self.copies is not None and not self.augment:
            raise ValueError("copies needs augment, which says how they are changed; set it, or no copies")
        return self
