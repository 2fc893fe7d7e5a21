"""Files of a bundle as `bundle.json` declares them, and nothing believed before it is checked. No torch here.

What is refused, each in one line, before any tensor is allocated: a file whose size is not the declared
one; one that is no safetensors file (`strict.tensor_file`); tensors other than the declared ones in name,
type or shape. Then, before its tensors are used, a wrong SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from numpy.typing import NDArray
from pydantic import Field

from secondread.errors import DataError
from secondread.settings.base import Settings
from secondread.strict.plain_file import Unfit, length_of, open_plain
from secondread.strict.tensor_file import BYTES, TensorForm, read_header

LARGEST_FILE = 16 << 30
LARGEST_ARRAYS = 256 << 20
"""Bytes of what is no detector: ten million calibration scores, or the mean of volumes."""
BUNDLE = "bundle.json"


class DeclaredTensor(Settings):
    """Type and shape of one tensor, as `bundle.json` declares them."""

    dtype: str = Field(pattern=f"^({'|'.join(BYTES)})$")
    shape: tuple[Annotated[int, Field(ge=0, le=1 << 50)], ...] = Field(max_length=8)

    @property
    def form(self) -> TensorForm:
        return TensorForm(self.dtype, self.shape)


class DeclaredFile(Settings):
    """Size, SHA-256 and, for a tensor file, the tensors of one file of a bundle."""

    bytes: int = Field(ge=0, le=LARGEST_FILE)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    tensors: dict[str, DeclaredTensor] | None = None


@dataclass(frozen=True)
class TensorFile:
    """A file whose header is exactly what was declared; its tensors are still on the disk.

    by  the name of the file that declares it
    """

    path: Path
    declared: DeclaredFile
    forms: Mapping[str, TensorForm]
    by: str = BUNDLE

    @classmethod
    def open(cls, path: Path, declared: DeclaredFile, by: str = BUNDLE) -> TensorFile:
        """Raises DataError in one line where the file is not what is declared."""
        expected = {name: tensor.form for name, tensor in (declared.tensors or {}).items()}
        try:
            with open_plain(path, links=False) as file:
                _check_size(length_of(file), declared, by)
                forms = read_header(file)
            for name in sorted(expected.keys() ^ forms.keys()):
                where = f"{by} declares" if name in expected else "the file holds"
                raise Unfit(f"only {where} the tensor {name!r}; the bundle was changed or damaged")
            for name, form in forms.items():
                if form != expected[name]:
                    raise Unfit(f"tensor {name!r} is {form} where {by} declares {expected[name]}")
        except (Unfit, OSError) as error:
            raise _refused(path, error) from None
        return cls(path, declared, forms, by)

    def data(self) -> bytearray:
        """All of the file. Raises DataError where its SHA-256 is not the declared one."""
        return read_declared(self.path, self.declared, self.by)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The tensors as arrays, without torch; none of them may be BF16, which NumPy has not."""
        import safetensors.numpy

        try:
            return safetensors.numpy.load(bytes(self.data()))
        except Exception as error:
            raise DataError(f"{self.path}: not a valid safetensors file ({_line(error)})") from error


def refuse_large(what: str, forms: Mapping[str, TensorForm]) -> None:
    """ValueError where arrays beside a detector are beyond `LARGEST_ARRAYS`."""
    size = sum(form.bytes for form in forms.values())
    if size > LARGEST_ARRAYS:
        raise ValueError(f"{what} holds {size:,} bytes of arrays, and {LARGEST_ARRAYS:,} are the most")


def read_declared(path: Path, declared: DeclaredFile, by: str = BUNDLE) -> bytearray:
    """The bytes of a file that has the declared size and digest; `DataError` otherwise."""
    try:
        with open_plain(path, links=False) as file:
            _check_size(length_of(file), declared, by)
            data = bytearray(declared.bytes)
            _check_size(file.readinto(data), declared, by)
    except (Unfit, OSError) as error:
        raise _refused(path, error) from None
    if hashlib.sha256(data).hexdigest() != declared.sha256:
        raise DataError(
            f"{path}: its SHA-256 is not the one in {by}; "
            "the bundle was changed or damaged, copy it again from its source"
        )
    return data


def _check_size(size: int, declared: DeclaredFile, by: str) -> None:
    if size != declared.bytes:
        raise Unfit(
            f"{size:,} bytes where {by} declares {declared.bytes:,}; "
            "the bundle was changed or cut short, copy it again from its source"
        )


def _refused(path: Path, error: Unfit | OSError) -> DataError:
    if isinstance(error, OSError):
        return DataError(f"{path}: cannot be read ({error.strerror}); copy the bundle again from its source")
    return DataError(f"{path}: {error}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
