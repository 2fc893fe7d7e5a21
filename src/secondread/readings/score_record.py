"""`run.json` of a folder of readings: what a scoring run was, and what its bundle promised.

Whatever is missing has a value that says so, for runs of earlier versions are read too; what a version does
not know is kept as it is. What has another type than it should is refused. Nothing here needs torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from secondread.bundles.model_card import ModelCard
from secondread.errors import DataError
from secondread.strict.json_text import read_object
from secondread.strict.limits import Limits
from secondread.version import newer, of_newer
from secondread.wording.short import described, shortened

RUN = Limits(length=256 << 20, values=5_000_000)
"""Of `run.json`, which holds the hashes of all patients that the fit saw."""
Range = tuple[float, float]


class Told(BaseModel):
    """A group of facts of a record."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, defer_build=True)

    def __repr__(self) -> str:
        return described(type(self).__name__, self.__repr_args__())

    __str__ = __repr__


class LevelRecord(Told):
    """Of `images` or `studies`; see `calibration.description.describe`."""

    scores: int | None = None
    threshold: float | None = None
    patients: int | None = None
    patients_needed: int | None = None
    false_alarm_rate_range: Range | None = None
    words: str = ""


class PartRecord(Told):
    """How one raw part is mixed into the score."""

    weight: float
    tail: Literal["upper", "two"]
    median: float | None = None

    @model_validator(mode="after")
    def _folded_about_something(self) -> Self:
        if self.tail == "two" and self.median is None:
            raise ValueError("a two-tailed part needs its median")
        return self


class CalibrationRecord(Told):
    """See `calibration.description.describe`."""

    false_alarm_rate: float | None = None
    patient_ids: str = ""
    images: LevelRecord | None = None
    studies: LevelRecord | None = None
    parts: dict[str, PartRecord] = Field(default_factory=dict)
    words: tuple[str, ...] = ()


class EpochRecord(Told):
    """See `training.log.EpochLog`."""

    epoch: int
    losses: dict[str, float] = Field(default_factory=dict)
    validation: float | None = None
    measured: dict[str, float | None] = Field(default_factory=dict)


class StageRecord(Told):
    """See `training.log.StageLog`."""

    name: str = ""
    epochs: tuple[EpochRecord, ...] = ()
    chosen_epoch: int | None = None
    rule: str = ""
    skipped: int = 0
    seconds: float = 0.0
    figures: dict[str, float | None] = Field(default_factory=dict)


class TrainingRecord(Told):
    """See `training.log.TrainingLog`."""

    stages: tuple[StageRecord, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def skipped(self) -> int:
        return sum(stage.skipped for stage in self.stages)


class ProvenanceRecord(Told):
    """See `bundles.bundle_document.Provenance`."""

    created: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    manifest_digest: str = ""
    cohorts: dict[str, int] = Field(default_factory=dict)
    taken_for_normal: int = 0
    unreadable: dict[str, int] = Field(default_factory=dict)
    weights: dict[str, str] = Field(default_factory=dict)
    training: TrainingRecord = TrainingRecord()
    seconds: dict[str, float] = Field(default_factory=dict)
    device: str = ""
    precision: str = ""
    recalibrated: tuple[dict[str, str], ...] = ()


class AboutRecord(Told):
    """See `recipes.recipe.About`."""

    title: str = ""
    paper: str = ""
    state: str = ""
    needs: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()


class DetectorRecord(Told):
    name: str = ""


class ModelRecord(Told):
    """What a recipe, which may be another version's, says of itself."""

    about: AboutRecord = AboutRecord()
    detector: DetectorRecord = DetectorRecord()

    @property
    def name(self) -> str:
        """The recipe's title, else its detector's name, else empty."""
        return self.about.title or self.detector.name


class Digests(Told):
    bundle: str | None = None
    manifest: str | None = None


class PatientsSeen(Told):
    """Keyed hashes by cohort; see `bundles.seen.Seen`."""

    key: str = Field(pattern="^[0-9a-f]{32}$")
    patients: dict[str, tuple[str, ...]]


def _of_a_model(recipe: dict[str, Any]) -> dict[str, Any]:
    ModelRecord.model_validate(recipe)
    return recipe


class ArchiveRecord(Told):
    """Of readings in shards: how many rows of the manifest a shard has, and which rows were asked for."""

    rows_per_shard: int = Field(ge=1)
    where: tuple[str, ...] = ()


class ScoreRecord(Told):
    """One scoring run.

    command                what the person typed; None where nobody did or it is not known
    started                when the run began, in UTC; empty where it is not known
    versions               of packages, at scoring
    seed                   of the fit
    bundle                 the bundle's folder
    manifest               the manifest's file, where one manifest was the whole input
    base                   the folder that the readings' paths are relative to; None where all are absolute
    key_mark               tells one key of hashed ids from another
    map_scale              lower and upper end of the maps' common colour scale
    map_threshold          pixels at or above it are called
    recipe                 as its YAML would be; `model` is what of it is asked for
    patients_seen          of the fit; None where it is not known
    pixels_seen            whether the bundle knows its images by their pixels; None where it is not known
    left_out               of the bundle when it was handed over: `thumbnails`, `seen`
    card                   the bundle's model card; None for runs of before there was one
    allow_shared_patients  whether the fit was allowed to see patients of the test
    judged_again           when `secondread threshold` judged the readings, from and by which bundle
    archive                how an archive was cut into shards; None where it was not
    finished               False between a run's begin and its end
    """

    command: tuple[str, ...] | None = None
    started: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    seed: int | None = None
    bundle: str | None = None
    digests: Digests = Digests()
    manifest: str | None = None
    base: str | None = None
    key_mark: str | None = None
    device: str = ""
    calibration: CalibrationRecord | None = None
    map_scale: Range | None = None
    map_threshold: float | None = None
    recipe: Annotated[dict[str, Any], AfterValidator(_of_a_model)] = Field(default_factory=dict)
    provenance: ProvenanceRecord = ProvenanceRecord()
    patients_seen: PatientsSeen | None = None
    pixels_seen: bool | None = None
    left_out: tuple[str, ...] = ()
    card: ModelCard | None = None
    allow_shared_patients: bool = False
    judged_again: tuple[dict[str, Any], ...] = ()
    archive: ArchiveRecord | None = None
    finished: bool = True
    research_use: str = "research use, not a medical device"

    @property
    def model(self) -> ModelRecord:
        return ModelRecord.model_validate(self.recipe)

    def __repr__(self) -> str:
        model = self.model.name or "a model without a name"
        return f"<ScoreRecord of {shortened(model, 60)!r}, bundle {(self.digests.bundle or 'unknown')[:12]}>"

    __str__ = __repr__

    @classmethod
    def read(cls, path: Path) -> Self:
        """The record at `path`; that of an unknown run where there is none. Raises DataError in one line
        where it is damaged."""
        if not path.is_file():
            return cls()
        advice = "run the same `score` again"
        found = read_object(path, DataError, advice, RUN)
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            told = "".join(c if c.isprintable() else "?" for c in f"{where}: {first['msg']}")[:300]
            versions = found.get("versions")
            maker = newer(versions.get("secondread") if isinstance(versions, dict) else None)
            problem = (
                f"cannot be read ({told}); {of_newer(maker)}" if maker else f"is damaged ({told}); {advice}"
            )
            raise DataError(f"{path}: {problem}") from None
