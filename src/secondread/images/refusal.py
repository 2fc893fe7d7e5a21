"""Whatever goes wrong while a file is read becomes the one error that a bad file raises."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

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
    """One line for an error that a reader has raised: in plain words, since the error's own text may repeat
    a header's free text, and this line ends in tables. With `what` empty, for what no reader raises, the
    error's text is told without what it quotes."""
    if isinstance(error, ImageError):
        return error
    if isinstance(error, MemoryError):
        return ImageError(path, "needs more memory than is allowed")
    if isinstance(error, RecursionError):
        return ImageError(path, "nested too deeply to be read")
    if isinstance(error, OSError) and error.strerror:
        return ImageError(path, f"{what} ({error.strerror})" if what else error.strerror, advice)
    if what:
        return ImageError(path, f"{what}: damaged, or not what it says of itself", advice)
    return ImageError(path, f"{type(error).__name__}: {_QUOTED.sub('…', _said(error))}", advice)


def _said(error: BaseException) -> str:
    """An exception as one short line, without the addresses of objects."""
    text = re.sub(r"<(\S+) object at 0x[0-9a-f]+>", r"\1", " ".join(str(error).split()))
    return text[:240] or type(error).__name__
