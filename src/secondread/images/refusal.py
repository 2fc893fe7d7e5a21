"""Whatever goes wrong while a file is read becomes the one error that a bad file raises."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from secondread.images.dicom_dataset import said
from secondread.images.image import ImageError

_QUOTED = re.compile(r"""b?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")


@contextlib.contextmanager
def refusing(path: str, what: str = "cannot be read", advice: str = "") -> Iterator[None]:
    """Inside, every failure is raised as an ImageError of `path` that begins with `what`, if that is given.

    Decoders raise far more than `Exception` says: a panic of one written in Rust derives from BaseException
    alone. Passed on is what does not come from the file: KeyboardInterrupt, SystemExit, GeneratorExit.
    """
    try:
        yield
    except (ImageError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise refusal(path, error, what, advice) from error


def refusal(path: str, error: BaseException, what: str = "cannot be read", advice: str = "") -> ImageError:
    """One line for an error that a reader has raised. What the error quotes is left out: it may be a header's
    free text, and this line ends in tables."""
    if isinstance(error, ImageError):
        return error
    if isinstance(error, MemoryError):
        return ImageError(path, "needs more memory than is allowed")
    if isinstance(error, RecursionError):
        return ImageError(path, "nested too deeply to be read")
    told = f"{type(error).__name__}: {_QUOTED.sub('…', said(error))}"
    if isinstance(error, OSError) and error.strerror:
        told = error.strerror
    return ImageError(path, f"{what} ({told})" if what else told, advice)
