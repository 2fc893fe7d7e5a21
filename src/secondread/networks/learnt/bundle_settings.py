"""What encoders out of a bundle share: which bundle it is, and what it says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeVar

from pydantic import Field

from secondread.errors import UserError
from secondread.networks.encoder import EncoderSettings


class Form(Protocol):
    """How a bundle's encoder is built, and the bundle's digest."""

    @property
    def digest(self) -> str: ...
    @property
    def rank(self) -> int: ...
    @property
    def channels(self) -> int: ...


AnyForm = TypeVar("AnyForm", bound=Form)


class BundleEncoderSettings(EncoderSettings):
    """`weights` is the folder of a bundle. What that says of its encoder need not be said; a fit fills it
    in."""

    rank: Literal[2, 3] = Field(2, description="of the images that it learned from; a fit fills it in")
    colours: int = Field(1, ge=1, le=64, description="channels of these; a fit fills it in")
    digest: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="of the bundle; a fit fills it in")

    @property
    def folder(self) -> Path:
        return Path(self.weights or "").expanduser()

    @property
    def incomplete(self) -> bool:
        """Whether there is a bundle that has not been asked yet."""
        return self.digest is None and self.weights not in (None, "", "random")

    def filled_in(self, form: Form, **more: Any) -> Self:
        """With what the bundle says."""
        told = {"rank": form.rank, "colours": form.channels, "digest": form.digest, **more}
        return type(self).model_validate({**self.model_dump(), **told})

    def to_be_read(self, channels: int, *, pretrained: bool, made_by: str) -> bool:
        """Whether weights come from the bundle; ValueError where none is named, and for other channels than
        its encoder has learned from."""
        read = pretrained and self.weights != "random"
        if read and not self.weights:
            raise ValueError(f"encoder {self.name}: set encoder.weights to the bundle of {made_by}")
        if channels != self.colours:
            raise ValueError(
                f"encoder {self.name} has learned from images of {self.colours} channel(s), and "
                f"preprocessing gives {channels}"
            )
        return read

    def checked(self, form: AnyForm) -> AnyForm:
        """The form; UserError where it is of another bundle than `digest` names."""
        if self.digest not in (None, form.digest):
            raise UserError(
                f"{self.folder}: this is not the bundle that encoder.digest names; leave digest out, or give "
                "that one"
            )
        return form
