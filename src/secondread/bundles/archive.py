"""A bundle as one file, to be handed over: a zip or tar archive, read without trust.

Of an archive only the files of a bundle are taken, by their names, so that nothing can be written elsewhere;
each only as long as `bundle.json` declares it, whatever the archive says.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO

from secondread.bundles.bundle_document import FILES, BundleDocument
from secondread.bundles.declared import DeclaredFile
from secondread.bundles.read_document import read_document
from secondread.errors import DataError, UserError
from secondread.images.first_bytes import ZIP_MAGIC
from secondread.outputs.private import FILE
from secondread.outputs.whole import cannot_write, whole_file, whole_folder
from secondread.strict.json_text import DOCUMENT as LIMITS
from secondread.wording.sizes import in_words

DOCUMENT, CARD = "bundle.json", "README.md"
SUFFIXES = (".zip", ".tar")
MOST_MEMBERS = 64
LONGEST_CARD = 1 << 20
CHUNK = 1 << 20
LEFT_BY_SYSTEMS = ("__MACOSX", ".DS_Store")
AGAIN = "copy the archive again from its source"


@dataclass(frozen=True)
class _Member:
    open: Callable[[], IO[bytes]]


def pack(bundle: Path, out: Path, card: str) -> Path:
    """Write the bundle in the folder `bundle` to the archive `out` (.zip or .tar), with its model card.

    The same bundle and card give the same bytes. Raises UserError for another suffix, and where there is no
    bundle or the archive cannot be written; DataError where a file is not what `bundle.json` declares.
    """
    if out.suffix not in SUFFIXES:
        raise UserError(f"{out}: an archive's name ends with {' or '.join(SUFFIXES)}")
    document, _ = read_document(bundle)
    verify(bundle, document)
    names = (DOCUMENT, *FILES)
    try:
        with whole_file(out) as file:
            if out.suffix == ".zip":
                with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                    archive.writestr(_entry(out.stem, CARD), card.encode())
                    for name in names:
                        with (
                            (bundle / name).open("rb") as source,
                            archive.open(_entry(out.stem, name), "w", force_zip64=True) as target,
                        ):
                            shutil.copyfileobj(source, target, CHUNK)
            else:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                    _add(archive, f"{out.stem}/{CARD}", BytesIO(card.encode()), len(card.encode()))
                    for name in names:
                        with (bundle / name).open("rb") as source:
                            _add(archive, f"{out.stem}/{name}", source, (bundle / name).stat().st_size)
    except OSError as error:
        raise cannot_write(out, error) from error
    return out


def _entry(folder: str, name: str) -> zipfile.ZipInfo:
    """Of no time and no person, so that equal bundles are equal archives; unpacked by whatever program, it is
    its owner's alone."""
    info = zipfile.ZipInfo(f"{folder}/{name}")
    info.external_attr = FILE << 16
    return info


def _add(archive: tarfile.TarFile, name: str, source: IO[bytes], size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, FILE
    archive.addfile(info, source)


def verify(folder: Path, document: BundleDocument) -> None:
    """Raises DataError where a file of the folder is not what `bundle.json` declares, by size or SHA-256."""
    for name, declared in document.files.items():
        file = folder / name
        try:
            with file.open("rb") as opened:
                size = file.stat().st_size
                found = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror}); copy the bundle again") from None
        if (size, found) != (declared.bytes, declared.sha256):
            raise DataError(
                f"{file}: is not the file that bundle.json declares; the bundle was changed or damaged, copy "
                "it again from its source"
            )


def unpack(archive: Path, out: Path) -> str:
    """Write the bundle in an archive to the new folder `out`, verified; its digest. Raises as `unpacked`, and
    UserError where `out` is there already and is not this bundle."""
    with unpacked(archive) as folder:
        document, digest = read_document(folder)
        verify(folder, document)
        if out.exists():
            refuse_another(out, digest)
            return digest
        with whole_folder(out) as place:
            for file in folder.iterdir():
                shutil.copyfile(file, place / file.name)
    return digest


def refuse_another(out: Path, digest: str) -> None:
    """Raises UserError where what is at `out` is not the bundle of that digest."""
    if not (out / DOCUMENT).is_file():
        raise UserError(f"{out}: there is something already; choose another place with -o")
    if read_document(out)[1] != digest:
        raise UserError(f"{out}: another bundle is there already; choose another place with -o")


@contextmanager
def folder_of(bundle: Path) -> Iterator[Path]:
    """The folder of a bundle, for the block, where it is an archive."""
    if not bundle.is_file():
        yield bundle
        return
    with unpacked(bundle) as folder:
        yield folder


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """A temporary folder with the bundle in an archive, whose files are as long as they are declared; it is
    gone at the end of the block. Messages about what lies in it name the archive.

    Raises DataError where the archive is none, is damaged, or holds anything else; UserError where the disk
    has no room for it.
    """
    with tempfile.TemporaryDirectory(prefix="secondread-") as place:
        folder = Path(place)
        try:
            with ExitStack() as opened:
                try:
                    _extract(_members(archive, opened), folder, archive)
                except (
                    zipfile.BadZipFile,
                    tarfile.TarError,
                    zlib.error,
                    EOFError,
                    NotImplementedError,
                ) as error:
                    raise DataError(f"{archive}: is damaged ({_line(error)}); {AGAIN}") from None
                except OSError as error:
                    raise cannot_write(folder, error) from error
            yield folder
        except (UserError, DataError) as error:
            raise type(error)(str(error).replace(str(folder), str(archive))) from None


def _members(archive: Path, opened: ExitStack) -> Mapping[str, _Member]:
    """The bundle's files in the archive by their bare names."""
    try:
        file = opened.enter_context(archive.open("rb"))
    except OSError as error:
        raise UserError(f"{archive}: cannot be read ({error.strerror})") from None
    found: list[tuple[str, bool, _Member]] = []
    if zipfile.is_zipfile(file):
        content = opened.enter_context(zipfile.ZipFile(file))
        for info in content.infolist()[: MOST_MEMBERS + 1]:
            plain = not stat.S_ISLNK(info.external_attr >> 16) and not info.flag_bits & 1
            if not info.is_dir():
                found.append((info.filename, plain, _Member(lambda info=info: content.open(info))))  # type: ignore[misc]
    else:
        file.seek(0)
        if file.read(len(ZIP_MAGIC)) == ZIP_MAGIC:
            raise DataError(f"{archive}: is damaged (a .zip without its end); {AGAIN}")
        file.seek(0)
        try:
            tar = opened.enter_context(tarfile.TarFile(fileobj=file))
        except tarfile.TarError:
            raise DataError(
                f"{archive}: no bundle, neither a folder nor an archive of one (.zip or plain .tar)"
            ) from None
        while (item := tar.next()) is not None and len(found) <= MOST_MEMBERS:
            if not item.isdir():
                found.append((item.name, item.isreg() and not item.issparse(), _Member(_opener(tar, item))))
    return _of_a_bundle(found, archive)


def _opener(tar: tarfile.TarFile, item: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        found = tar.extractfile(item)
        assert found is not None  # it is a regular file
        return found

    return opened


def _of_a_bundle(found: list[tuple[str, bool, _Member]], archive: Path) -> Mapping[str, _Member]:
    if len(found) > MOST_MEMBERS:
        raise DataError(f"{archive}: holds more than {MOST_MEMBERS} files, and is no archive of a bundle")
    members: dict[str, _Member] = {}
    places = set()
    for name, plain, member in found:
        path = PurePosixPath(name)
        if path.parts and (path.parts[0] == LEFT_BY_SYSTEMS[0] or path.name in LEFT_BY_SYSTEMS):
            continue
        shown = "".join(letter if letter.isprintable() else "?" for letter in name)[:80]
        if (
            path.name not in (DOCUMENT, CARD, *FILES)
            or len(path.parts) > 2
            or ".." in path.parts
            or path.is_absolute()
        ):
            raise DataError(f"{archive}: holds {shown!r}, which is no file of a bundle; {AGAIN}")
        if not plain:
            raise DataError(f"{archive}: {shown!r} is a link, is encrypted or is no plain file; {AGAIN}")
        if path.name in members:
            raise DataError(f"{archive}: holds {path.name!r} twice; {AGAIN}")
        members[path.name] = member
        places.add(path.parent)
    if len(places) > 1:
        raise DataError(f"{archive}: holds files of more than one bundle; {AGAIN}")
    if DOCUMENT not in members:
        raise DataError(f"{archive}: no bundle here (it has no {DOCUMENT})")
    return members


def _extract(members: Mapping[str, _Member], folder: Path, archive: Path) -> None:
    _copy(members[DOCUMENT], folder / DOCUMENT, LIMITS.length, archive)
    document, _ = read_document(folder)
    if missing := [name for name in document.files if name not in members]:
        raise DataError(f"{archive}: {missing[0]!r} is missing; {AGAIN}")
    needed = sum(declared.bytes for declared in document.files.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{archive}: its files take {in_words(needed)}, and {folder.parent} has room for "
            f"{in_words(free)}; free some, or set TMPDIR to a larger disk"
        )
    for name, declared in document.files.items():
        _copy(members[name], folder / name, declared, archive)
    if CARD in members:
        _copy(members[CARD], folder / CARD, LONGEST_CARD, archive)


def _copy(member: _Member, target: Path, most: int | DeclaredFile, archive: Path) -> None:
    """Write a member out; of one that is longer than it may be not a byte more."""
    longest = most if isinstance(most, int) else most.bytes
    written = 0
    with member.open() as source, target.open("xb") as file:
        while chunk := source.read(min(CHUNK, longest - written + 1)):
            written += len(chunk)
            if written > longest:
                raise DataError(f"{archive}: {target.name!r} is longer than it may be; {AGAIN}")
            file.write(chunk)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
