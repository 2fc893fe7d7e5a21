"""`export.json`: the strict schema of all in an exported bundle that is no graph and no array, read without
trust. No torch here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from secondread.bundles.bundle_document import CALIBRATION, PREPROCESSING, SEEN, Provenance
from secondread.bundles.declared import DeclaredFile
from secondread.bundles.model_card import ModelCard
from secondread.bundles.other_version import CHANGED
from secondread.bundles.read_document import EXPORTED, first_problem
from secondread.errors import DataError, UserError
from secondread.settings.base import Settings
from secondread.strict.json_text import DOCUMENT as LIMITS
from secondread.strict.json_text import parse_json
from secondread.strict.plain_file import Unfit, read_plain
from secondread.version import newer, of_newer

FORMAT = 1
DOCUMENT, CARD = EXPORTED, "README.md"
FILE = r"^[a-z0-9][a-z0-9.-]{0,80}$"
NAME = r"^[\w-]{1,64}$"
Name = Annotated[str, Field(pattern=NAME)]
Length = Annotated[int, Field(ge=1, le=1 << 20)]


class DrawForm(Settings):
    """One draw for an image; see `exporting.draws`."""

    kind: Literal["normal", "uniform"]
    shape: tuple[Length, ...] = Field(max_length=8)


class GraphForm(Settings):
    """What a graph takes and gives; see `exporting.graph.GraphFacts`. `file` is that of the graph."""

    file: str = Field(pattern=FILE)
    channels: Annotated[int, Field(ge=1, le=1 << 16)]
    size: tuple[Length, ...] = Field(min_length=2, max_length=3)
    parts: dict[Name, Literal["upper", "two"]] = Field(min_length=1, max_length=64)
    maps: tuple[Name, ...] = Field((), max_length=64)
    draws: tuple[DrawForm, ...] = Field((), max_length=1024)
    opset: int
    remarks: tuple[str, ...] = ()

    @property
    def inputs(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Name -> type, as ONNX Runtime calls it, and shape."""
        found = {
            "pixels": ("tensor(float)", (1, self.channels, *self.size)),
            "valid": ("tensor(bool)", (1, 1, *self.size)),
        }
        for number, draw in enumerate(self.draws):
            found[f"draw.{number}"] = ("tensor(float)", (1, *draw.shape))
        return found

    @property
    def outputs(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        parts = {f"part.{name}": ("tensor(float)", (1,)) for name in self.parts}
        return parts | {f"map.{name}": ("tensor(float)", (1, 1, *self.size)) for name in self.maps}


class BaselineForm(Settings):
    """A trivial baseline: its graph, and the JSON of its calibration."""

    graph: GraphForm
    calibration: dict[str, Any]


class ExportDocument(Settings):
    """Everything in `export.json`.

    bundle         digest of the bundle that was exported
    created        when it was exported, in UTC
    versions       of secondread and of what it was exported with
    recipe         as its YAML would be; `recipe.preprocessing` says how an image is prepared
    preprocessing  fitted state of the preprocessing, beside the recipe's settings
    parts          the detector's raw statistics in the order of the readings' columns, `map` among them where
                   the processed map gives one
    graph          the detector's graph
    baselines      the trivial baselines that go along, by name
    calibration    what turns raw scores into a score, a p-value and a flag
    provenance     how the bundle came to be
    left_out       what the bundle was handed over without
    card           the bundle's model card
    files          size, SHA-256 and, for tensor files, the tensors of each other file but the model card
    """

    format: Literal[1]
    bundle: str = Field(pattern="^[0-9a-f]{64}$")
    created: str
    versions: dict[str, str]
    recipe: dict[str, Any]
    preprocessing: dict[str, Any]
    parts: tuple[Name, ...] = Field(min_length=1, max_length=65)
    graph: GraphForm
    baselines: dict[Name, BaselineForm] = Field(max_length=8)
    calibration: dict[str, Any]
    provenance: Provenance
    left_out: tuple[Literal["thumbnails", "seen"], ...] = Field((), max_length=2)
    card: ModelCard
    files: dict[Annotated[str, Field(pattern=FILE)], DeclaredFile] = Field(max_length=32)

    def needed(self) -> Iterator[str]:
        """The files that must be among `files`."""
        yield from (PREPROCESSING, CALIBRATION, SEEN, self.graph.file)
        for baseline in self.baselines.values():
            yield baseline.graph.file


def is_exported(path: Path) -> bool:
    """Whether `path` is the folder of an exported bundle."""
    return (path / DOCUMENT).is_file()


def read_export(path: Path) -> tuple[ExportDocument, str]:
    """`export.json` of the folder `path`, checked against its schema, and its SHA-256.

    Raises UserError where there is none; DataError in one line where it is damaged, or of a newer version.
    """
    file = path / DOCUMENT
    if not file.exists():
        raise UserError(
            f"{path}: no exported bundle here (it has no {DOCUMENT}); `secondread export` makes one"
        )
    try:
        text = read_plain(file, LIMITS.length, links=False)
        said = parse_json(text, LIMITS)
        document = ExportDocument.model_validate(said)
    except ValidationError as error:
        raise DataError(f"{file}: {first_problem(error)}; {_why(said)}") from error
    except Unfit as error:
        raise DataError(f"{file}: {error}; {CHANGED}") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    if missing := [name for name in document.needed() if name not in document.files]:
        raise DataError(f"{file}: {missing[0]!r} is missing from its file list; {_why(said)}")
    return document, hashlib.sha256(text).hexdigest()


def _why(said: Any) -> str:
    """Why it cannot be read; `said` is whatever the file holds."""
    versions = said.get("versions") if isinstance(said, dict) else None
    form = said.get("format") if isinstance(said, dict) else None
    maker = newer(versions.get("secondread")) if isinstance(versions, dict) else ""
    return of_newer(maker) if maker or (type(form) is int and form > FORMAT) else CHANGED
