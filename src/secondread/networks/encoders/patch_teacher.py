"""The teachers of patches that a fit of uninformed students has made, frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field
from torch import Tensor, nn

from secondread.networks.cells import Cells
from secondread.networks.distillation.patch_network import PatchNetwork, PatchSide, refuse_small
from secondread.networks.encoder import Encoder, EncoderSettings
from secondread.networks.learnt.bundle_files import fill
from secondread.networks.learnt.bundle_settings import BundleEncoderSettings
from secondread.networks.learnt.bundle_teachers import TeachersForm
from secondread.networks.weights.find import WeightsFile
from secondread.settings.base import Width

LAYERS: dict[str, PatchSide] = {"patches17": 17, "patches33": 33, "patches65": 65}


class PatchTeacherEncoderSettings(BundleEncoderSettings):
    """See `BundleEncoderSettings`."""

    name: str = "patch_teacher"
    weights: str | None = Field(
        None,
        description="the folder of a bundle of `uninformed-students`; 'random' = untrained (tests)",
    )
    dense: bool = Field(
        False, description="the patch of every pixel, in place of every fourth or eighth one's"
    )
    patches: tuple[PatchSide, ...] = Field((17, 33, 65), description="sides; a fit fills it in")
    width: Width = Field(128, description="of their networks; a fit fills it in")
    descriptor: Width = Field(128, description="channels of their maps; a fit fills it in")


class PatchTeacherEncoder(Encoder):
    """Images `[N, channels, *S]` in [0, 1] to descriptors of the patches around pixels, `[N, D, *s]`.

    The layers `patches17`, `patches33` and `patches65` are those of patches of that side, of strides 1, 4 and
    8, or with `dense` of every pixel; where none is named it is the bundle's last. Images are mirrored at
    their edges, as the students see them. What no layer asks for is not built. It never trains and stays in
    eval mode. A bundle of a detector that has it holds its weights and needs no folder.

    ValueError for channels, ranks and layers that the teachers did not learn, and for images smaller than
    half a patch; UserError for files.
    """

    Settings = PatchTeacherEncoderSettings
    learns = False
    ranks = frozenset({2, 3})
    weights_file: WeightsFile | None = None

    def __init__(
        self,
        rank: int,
        channels: int,
        layers: Sequence[str],
        *,
        width: int,
        descriptor: int,
        dense: bool = False,
    ) -> None:
        super().__init__()
        wrong = [layer for layer in layers if layer not in LAYERS]
        if wrong:
            raise ValueError(f"patch_teacher has no layer {wrong[0]!r}; there are {', '.join(LAYERS)}")
        if list(layers) != [name for name in LAYERS if name in layers]:
            raise ValueError(
                f"layers of patch_teacher must be named once and in its order, not {tuple(layers)}"
            )
        self.layers, self.dense = tuple(layers), dense
        self.networks = nn.ModuleList(
            PatchNetwork(rank, channels, LAYERS[layer], width=width, descriptor=descriptor)
            for layer in layers
        )
        self.channels = (descriptor,) * len(self.layers)

    @classmethod
    def build(
        cls,
        settings: EncoderSettings,
        rank: int,
        channels: int,
        *,
        layers: Sequence[str] | None,
        pretrained: bool,
    ) -> Self:
        assert isinstance(settings, PatchTeacherEncoderSettings)
        read = settings.to_be_read(channels, pretrained=pretrained, made_by="a fit of uninformed-students")
        there = [f"patches{side}" for side in settings.patches]
        chosen = tuple(layers or (settings.layer or there[-1],))
        absent = [layer for layer in chosen if layer not in there and layer in LAYERS]
        if absent:
            raise ValueError(
                f"encoder patch_teacher has no {absent[0]}: its bundle has {', '.join(there)}; name one of "
                "them in detector.layers, or in encoder.layer"
            )
        shape = {"width": settings.width, "descriptor": settings.descriptor}
        encoder = cls(rank, channels, chosen, **shape, dense=settings.dense)
        if read:
            settings.checked(TeachersForm.read(settings.folder))
            places = encoder.places(there)
            encoder.weights_file = fill(settings.folder, encoder, places, "its teachers are others")
        encoder.requires_grad_(False)
        return encoder.train(False)

    @classmethod
    def ranks_of(cls, settings: EncoderSettings) -> frozenset[int]:
        assert isinstance(settings, PatchTeacherEncoderSettings)
        return frozenset({settings.rank})

    @classmethod
    def completed(cls, settings: EncoderSettings) -> EncoderSettings:
        assert isinstance(settings, PatchTeacherEncoderSettings)
        if not settings.incomplete:
            return settings
        form = TeachersForm.read(settings.folder)
        return settings.filled_in(form, patches=form.patches, width=form.width, descriptor=form.descriptor)

    def places(self, there: Sequence[str]) -> dict[str, str]:
        """For each of a bundle's tensors that it takes its own name, where the bundle has these layers."""
        found = {}
        for own in self.state_dict():
            _, number, rest = own.split(".", 2)
            found[f"teachers.networks.{there.index(self.layers[int(number)])}.{rest}"] = own
        return found

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        refuse_small([network.side for network in self._each()], images.shape[2:])
        return tuple(network(network.around(images), dense=self.dense) for network in self._each())

    def map_cells(self, channels: int, size: Sequence[int]) -> tuple[Cells, ...]:
        return tuple(network.cells(len(size), dense=self.dense) for network in self._each())

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    def _each(self) -> list[PatchNetwork]:
        return [network for network in self.networks if isinstance(network, PatchNetwork)]
