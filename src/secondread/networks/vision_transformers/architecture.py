"""What a vision transformer is made of: the part of its `config.json` that a bundle keeps."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, ValidationError, field_validator, model_validator

from secondread.errors import UserError
from secondread.settings.base import Layers, Settings, Side, Width
from secondread.strict.json_text import parse_json
from secondread.strict.plain_file import Unfit, read_plain
from secondread.wording.extras import install_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

FAMILIES = {
    "dinov2": ("Dinov2Config", "Dinov2Model"),
    "dinov2_with_registers": ("Dinov2WithRegistersConfig", "Dinov2WithRegistersModel"),
    "dinov3_vit": ("DINOv3ViTConfig", "DINOv3ViTModel"),
    "vit": ("ViTConfig", "ViTModel"),
}
"""Classes of `transformers` by the `model_type` of a `config.json`."""
LARGEST_CONFIG = 1 << 20
"""Bytes of a JSON file beside the weights."""

Registers = Annotated[int, Field(ge=0, le=1_024)]


class ArchitectureSettings(Settings):
    """A model's `config.json` as far as its forward pass depends on it, in its own names; a field that is
    empty has the default of its class. A recipe need not say it: the fit takes it from the model's folder, so
    that the bundle, which has no such folder, can build the network."""

    model_type: Literal["dinov2", "dinov2_with_registers", "dinov3_vit", "vit"]
    hidden_size: Width | None = None
    num_hidden_layers: Layers | None = None
    num_attention_heads: Width | None = None
    intermediate_size: Width | None = None
    mlp_ratio: Annotated[int, Field(ge=1, le=64)] | None = None
    hidden_act: Literal["gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu"] | None = None
    layer_norm_eps: PositiveFloat | None = None
    image_size: Side | None = None
    patch_size: Side | None = None
    num_channels: Literal[3] | None = None
    num_register_tokens: Registers | None = None
    qkv_bias: bool | None = None
    query_bias: bool | None = None
    key_bias: bool | None = None
    value_bias: bool | None = None
    proj_bias: bool | None = None
    mlp_bias: bool | None = None
    use_swiglu_ffn: bool | None = None
    use_gated_mlp: bool | None = None
    use_mask_token: bool | None = None
    rope_theta: PositiveFloat | None = None

    @field_validator("image_size", "patch_size", mode="before")
    @classmethod
    def _square(cls, side: Any) -> Any:
        """Some files write a side twice."""
        if isinstance(side, list | tuple) and len(side) == 2 and side[0] == side[1]:
            return side[0]
        return side

    @model_validator(mode="after")
    def _whole_heads(self) -> Self:
        if self.hidden_size and self.num_attention_heads and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is no multiple of {self.num_attention_heads} attention heads"
            )
        return self

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Of the model in a folder. `UserError` where its `config.json` is not one of such a model."""
        file = folder / "config.json"
        given = read_mapping(file)
        rope = given.get("rope_parameters")  # where newer versions write what `rope_theta` was
        if isinstance(rope, Mapping) and "rope_theta" in rope:
            given = {**given, "rope_theta": rope["rope_theta"]}
        kind = given.get("model_type")
        if kind not in FAMILIES:
            raise UserError(f"{file}: model_type is {kind!r}, and encoders are {', '.join(FAMILIES)}")
        try:
            return cls.model_validate({name: given[name] for name in cls.model_fields if name in given})
        except ValidationError as error:
            first = error.errors()[0]
            named = ".".join(map(str, first["loc"]))
            where = f"{named} is {str(first['input'])[:60]!r}: " if named else ""
            raise UserError(f"{file}: {where}{first['msg']}") from None

    def build(self) -> nn.Module:
        """The model, with parameters at random. `ValueError` where the package is missing or refuses it."""
        _, kind = self._classes()
        config = self.config()
        try:
            with _quietly():
                model: nn.Module = kind(config, **self._without_pooler())
        except (ValueError, ZeroDivisionError) as error:
            raise ValueError(f"{self.model_type} cannot be built so ({_line(error)})") from None
        return model

    def load(self, folder: Path) -> nn.Module:
        """The model of a folder with its weights, in float32. Never code from the folder."""
        import torch

        _, kind = self._classes()
        file = folder / "model.safetensors"
        try:
            with _quietly():
                model, found = kind.from_pretrained(
                    folder, config=self.config(), use_safetensors=True, local_files_only=True,
                    dtype=torch.float32, output_loading_info=True, **self._without_pooler(),
                )  # fmt: skip
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise UserError(f"{file}: cannot be loaded as {self.model_type} ({_line(error)})") from None
        absent = [*found.get("missing_keys", ()), *(key for key, *_ in found.get("mismatched_keys", ()))]
        if absent:
            raise UserError(
                f"{file}: these are not weights of this {self.model_type} ({min(absent)} is missing or of "
                "another shape)"
            )
        loaded: nn.Module = model
        return loaded

    def config(self) -> Any:
        """As an object of `transformers`."""
        kind, _ = self._classes()
        given = self.model_dump(exclude_none=True, exclude={"model_type"})
        try:
            return kind(**given)
        except Exception as error:  # its validation has errors of its own
            raise ValueError(f"{self.model_type} cannot be built so ({_line(error)})") from None

    def _classes(self) -> tuple[Any, Any]:
        try:
            package = import_module("transformers")
            config, model = (getattr(package, name) for name in FAMILIES[self.model_type])
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"encoder transformers needs transformers, 5 or newer ({_line(error)}); "
                f"run {install_command('transformers')}"
            ) from None
        return config, model

    def _without_pooler(self) -> dict[str, bool]:
        return {"add_pooling_layer": False} if self.model_type == "vit" else {}


def read_mapping(file: Path) -> dict[str, Any]:
    """A JSON file that holds an object. `UserError` for any other."""
    try:
        found = parse_json(read_plain(file, LARGEST_CONFIG))
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    except Unfit as error:
        raise UserError(f"{file}: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{file}: holds no object of settings")
    return found


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the package's bars and reports of what it loaded; what is missing is refused here."""
    logging = import_module("transformers").utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
