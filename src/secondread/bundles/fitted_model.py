"""What reads images, however its detector is computed: by torch (`bundle`), or as a graph (`exporting`). No
torch here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from numpy.typing import ArrayLike

from secondread.bundles.bundle_document import Provenance
from secondread.bundles.decisions import Asked, Baseline, Decisions, decide
from secondread.bundles.model_card import ModelCard
from secondread.bundles.read_document import one_line
from secondread.bundles.seen import Seen
from secondread.calibration.calibration import Calibration
from secondread.errors import DataError
from secondread.images.image import Image
from secondread.images.in_memory import image_of
from secondread.preprocessing.prepared import Prepared, stack
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.recipes.recipe import Recipe
from secondread.scoring.image_source import ArraySource
from secondread.settings.arguments import checked

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class FittedModel(ABC):
    """Everything that scoring needs but the detector, and where it came from.

    parts     the names of the detector's raw statistics, in the order of the readings' columns
    digest    SHA-256 of the file that names the digests of all else; empty before it is saved
    path      the folder or archive, or None before it is saved
    left_out  what it was handed over without (`bundle_document.LEFT_OUT`)
    """

    recipe: Recipe
    preprocessing: Preprocessing
    parts: tuple[str, ...]
    calibration: Calibration
    provenance: Provenance
    seen: Seen
    path: Path | None = None
    digest: str = ""
    left_out: tuple[Literal["thumbnails", "seen"], ...] = ()
    device: str = "cpu"

    @property
    def rank(self) -> int:
        """2 where it judges images, 3 where volumes."""
        return len(self.recipe.preprocessing.size)

    @property
    @abstractmethod
    def asked(self) -> Asked:
        """What gives the detector's raw scores."""

    @property
    @abstractmethod
    def baselines(self) -> Mapping[str, Baseline]:
        """The trivial baselines that were fitted on the same normals, by name."""

    @property
    def card(self) -> ModelCard | None:
        """What readings and reports say of it; None where it has none."""
        return None

    @property
    def has_complexity(self) -> bool:
        """Whether the score has input complexity taken out."""
        return self.calibration.settings.complexity != "none"

    @property
    def precision(self) -> str:
        """In which its calibration scores were computed, and therefore every score that is held against
        them, whatever this machine would choose."""
        return self.provenance.scored_in

    def judge(
        self,
        pixels: ArrayLike,
        valid: ArrayLike | None = None,
        digests: Sequence[str] | None = None,
        *,
        maps: bool = False,
    ) -> Decisions:
        """Decisions on *prepared* images, which this bundle's preprocessing made (`prepare`).

        pixels   `[n, C, *size]`, taken as float32
        valid    bool `[n, 1, *size]`, False where there is no image; None = valid everywhere
        digests  hexadecimal, of each image's bytes: they seed what a detector draws at scoring; None = of the
                 prepared pixels
        maps     also heat maps `[n, *size]`, on the prepared grid

        An image's decision does not depend on the others. Arrays as they come go to `judge_images`. Raises
        ValueError where there is none, or the shapes are not the recipe's; DataError where the detector fails
        at what the bundle holds, such as indices that point nowhere.
        """
        source = ArraySource(pixels, valid)
        wanted = (self.recipe.preprocessing.channels, *self.recipe.preprocessing.size)
        if source.images.shape[1:] != wanted:
            raise ValueError(
                f"prepared images of shape {source.images.shape} were given, and this bundle judges "
                f"{('n', *wanted)}; `judge_images` prepares arrays as they come"
            )
        if not len(source):
            raise ValueError("no image was given to judge")
        named = source.digests if digests is None else digests
        if len(named) != len(source):
            raise ValueError(f"{len(named)} digests were given for {len(source)} images")
        try:
            return decide(
                self.asked, self.calibration, self.baselines, source.images, source.valid, named, maps=maps
            )
        except (IndexError, RuntimeError, ValueError) as error:
            raise DataError(
                f"{self.path or self.recipe.about.title}: its detector cannot score ({one_line(error)}); the "
                "bundle was changed or damaged, or the detector has a fault"
            ) from error

    @checked
    def judge_images(
        self,
        images: Iterable[Image | ArrayLike | Tensor],
        *,
        spacing: Sequence[float] | None = None,
        maps: bool = False,
    ) -> Decisions:
        """Decisions on images *as they come*, which are prepared first: see `prepare` and `judge`."""
        prepared = self.prepare(images, spacing=spacing)
        if not prepared:
            raise ValueError("no image was given to judge")
        return self.judge(*stack(prepared), [image.digest for image in prepared], maps=maps)

    def prepare(
        self, images: Iterable[Image | ArrayLike | Tensor], *, spacing: Sequence[float] | None = None
    ) -> list[Prepared]:
        """Images in memory, prepared as files are.

        images   each an array or tensor `[*spatial]` or `[C, *spatial]` of any size, in the values and the
                 type that a file would have (see `image_of`); or an Image (`images.read.read_image`), which
                 has its own spacing
        spacing  millimetres along each axis of all arrays, where the recipe resamples

        Raises ImageError, which counts images from 0, for one that does not fit the recipe.
        """
        rank = len(self.recipe.preprocessing.size)
        return [
            self.preprocessing.apply(
                image
                if isinstance(image, Image)
                else image_of(image, rank, spacing=spacing, source=f"image {number}")
            )
            for number, image in enumerate(images)
        ]
