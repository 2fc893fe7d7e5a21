"""Which bundle reads which studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from secondread.settings.base import Settings


class Takes(Settings):
    """What an image's header must say; a field that is empty asks nothing. Terms as DICOM writes them.

    age  in years at the study, from and to
    """

    modality: tuple[str, ...] = ()
    body_part: tuple[str, ...] = ()
    view: tuple[str, ...] = ()
    age: tuple[float, float] | None = None


class GateSettings(Settings):
    """The gate on content: an image that lies further from the bundle's normals than all but `rate` of them
    do in a space of plain facts of pixels and header is not read. 0 = no gate."""

    rate: Annotated[float, Field(ge=0, lt=0.5)] = 0.001


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
