"""Which bundle reads which studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from secondread.settings.base import Settings


class Takes(Settings):
    """What an image's header must say; a field that is empty asks nothing. Terms as DICOM writes them.

    age  in years at the study, from and to
    """

    modality: tuple[str, ...] = ()
    body_part: tuple[str, ...] = ()
    view: tuple[str, ...] = ()
    age: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _youngest_first(self) -> Self:
        if self.age is not None and not self.age[0] <= self.age[1]:
            raise ValueError(f"age is from the youngest to the oldest, and {list(self.age)} takes nobody")
        return self


class GateSettings(Settings):
    """The gate on content (`service.reading.gate`): an image beyond one of these limits is not read.

    distance  how many times as far from the bundle's normals it may lie as 99 % of its calibration normals do
    turned    how many times nearer to the normals it may come when it is turned or inverted, as a multiple
              of what the calibration normals are expected to
    """

    on: bool = True
    distance: Annotated[float, Field(gt=0)] = 1.4
    turned: Annotated[float, Field(gt=0)] = 1.7


class BundleSettings(Settings):
    """A bundle at work.

    shadow  other bundles that read the same studies; their readings are compared, and shown to
            administrators alone
    """

    bundle: Path
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    takes: Takes = Takes()
    gate: GateSettings = GateSettings()
    shadow: tuple[Path, ...] = ()
