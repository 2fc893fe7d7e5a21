"""What a fit did, epoch by epoch: data for the bundle's provenance and for the report. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from secondread.terminal.events import log_event


@dataclass
class EpochLog:
    """losses: mean over the epoch's steps of each named term. validation: the loss on held-out normals.
    lr: at the epoch's last step. skipped: steps whose loss or gradient was not finite. measured: AUROC
    without labels, by rule (`training.choice`); None where a score was not finite."""

    epoch: int
    losses: dict[str, float]
    validation: float | None
    lr: float
    skipped: int
    images: int
    seconds: float
    measured: dict[str, float | None] = field(default_factory=dict)


def log_epoch(stage: str, epoch: EpochLog, epochs: int) -> None:
    """Tell an epoch's figures to a log, if one is kept."""
    log_event(
        "epoch ended",
        stage=stage,
        epoch=epoch.epoch + 1,
        of=epochs,
        facts={f"loss_{name}": value for name, value in epoch.losses.items()},
        held_out=epoch.validation,
        lr=epoch.lr,
        skipped=epoch.skipped,
        images=epoch.images,
        seconds=round(epoch.seconds, 3),
    )


@dataclass
class StageLog:
    """rule: how the parameters that stay were chosen, in words. chosen_epoch: theirs, from 0. figures: what
    the stage said of itself at its start and end (`Stage.start`, `Stage.examine`); None where that was not
    finite. spared_seconds: by how much it would have taken longer, had nothing lain in the cache of what
    encoders say (`scoring.kept_encodings`)."""

    name: str
    epochs: list[EpochLog] = field(default_factory=list)
    chosen_epoch: int | None = None
    rule: str = ""
    skipped: int = 0
    seconds: float = 0.0
    spared_seconds: float = 0.0
    figures: dict[str, float | None] = field(default_factory=dict)

    @property
    def images_per_second(self) -> float:
        seconds = sum(epoch.seconds for epoch in self.epochs)
        return sum(epoch.images for epoch in self.epochs) / seconds if seconds else 0.0


@dataclass
class TrainingLog:
    """notes, warnings: what the detector says of its fit, for whoever fits (`Detector.notes`,
    `Detector.warnings`)."""

    device: str = ""
    precision: str = ""
    processes: int = 1
    seed: int = 0
    stages: list[StageLog] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages)

    @property
    def skipped(self) -> int:
        return sum(stage.skipped for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        for stage, logged in zip(data["stages"], self.stages, strict=True):
            stage["images_per_second"] = logged.images_per_second
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrainingLog:
        stages = []
        for stage in data["stages"]:
            fields = {key: value for key, value in stage.items() if key != "images_per_second"}
            fields["epochs"] = [EpochLog(**epoch) for epoch in stage["epochs"]]
            stages.append(StageLog(**fields))
        return cls(**{**data, "stages": stages})
