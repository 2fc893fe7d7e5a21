"""A coupling's network in C++ for CPUs with AMX: `native()` is it, or None where `why_not()` says why."""

from secondread.flows.glow.native.build import native, why_not
from secondread.flows.glow.native.kernel import Kernel

__all__ = ["Kernel", "native", "why_not"]
