"""What the autoencoders with a critic may set of their networks."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from secondread.settings.base import Settings, Width


class UnifiedSettings(Settings):
    """See `networks.adversarial.unified`; the defaults are those of the brain MRI study for 128x128."""

    width: Width = 32
    widest: Width = 128
    halvings: int = Field(3, ge=1, le=8)
    latent: Width = 128
    dropout: float = Field(0.1, ge=0, lt=1, description="of the code, and behind the decoder's first layer")

    def body(self) -> dict[str, Any]:
        return {"width": self.width, "widest": self.widest, "halvings": self.halvings}
