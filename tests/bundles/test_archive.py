"""A bundle as one file: what goes in comes out, and nothing else that an archive holds is believed."""

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.bundles.archive import DOCUMENT, pack, unpack
from secondread.bundles.bundle import Bundle
from secondread.bundles.bundle_document import FILES
from secondread.cli.application import app
from secondread.errors import DataError, UserError

CARD = "# A card\n"


def run(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["bundle", *map(str, words)])
    assert result.exit_code == code, result.output
    return result.output


def rewritten(archive: Path, out: Path, change) -> Path:
    """A zip with its entries, by name, as `change` returns them."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(out, "w") as new:
        for name, data in change({info.filename: old.read(info) for info in old.infolist()}).items():
            new.writestr(name, data)
    return out


@pytest.fixture(scope="module")
def packed(fitted: Bundle, tmp_path_factory) -> Path:
    return pack(fitted.path, tmp_path_factory.mktemp("packed") / "bundle.zip", CARD)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_what_was_packed_is_loaded_and_unpacked_bit_for_bit(fitted, phantoms, suffix, tmp_path):
    archive = pack(fitted.path, tmp_path / f"handed-over{suffix}", CARD)
    again = pack(fitted.path, tmp_path / "again" / f"handed-over{suffix}", CARD)
    assert archive.read_bytes() == again.read_bytes()
    loaded = Bundle.load(archive)
    assert (loaded.digest, loaded.path) == (fitted.digest, archive)
    files = [phantoms.reference(row) for row in phantoms.where("split=test").rows[:2]]
    from secondread.images.read import read_image

    images = list(map(read_image, files))
    assert loaded.judge_images(images).scores.tolist() == fitted.judge_images(images).scores.tolist()
    assert unpack(archive, tmp_path / "out") == fitted.digest
    for name in (DOCUMENT, *FILES):
        assert (tmp_path / "out" / name).read_bytes() == (fitted.path / name).read_bytes()
    assert unpack(archive, tmp_path / "out") == fitted.digest  # the same again
    assert (tmp_path / "out" / "README.md").read_text() == CARD


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda files: files | {"../../evil.txt": b"x"},
            "holds '../../evil.txt', which is no file of a bundle",
        ),
        (lambda files: files | {"/etc/seen.json": b"x"}, "which is no file of a bundle"),
        (lambda files: files | {"bundle/sub/seen.json": b"x"}, "which is no file of a bundle"),
        (lambda files: files | {"bundle/code.py": b"x"}, "holds 'bundle/code.py'"),
        (lambda files: files | {"other/seen.json": b"x"}, "holds 'seen.json' twice"),
        (lambda files: {n: d for n, d in files.items() if "seen" not in n}, "'seen.json' is missing"),
        (lambda files: {n: d for n, d in files.items() if "bundle.json" not in n}, "it has no bundle.json"),
        (
            lambda files: {n: d + b"\0" if n.endswith("seen.json") else d for n, d in files.items()},
            "'seen.json' is longer than it may be",
        ),
        (
            lambda files: {n: d[:-1] if n.endswith("seen.json") else d for n, d in files.items()},
            "bytes where bundle.json declares",
        ),
        (
            lambda files: {n: d[:-1] + b" " if n.endswith("seen.json") else d for n, d in files.items()},
            "its SHA-256 is not the one in bundle.json",
        ),
        (lambda files: files | {f"{n}.txt": b"" for n in range(80)}, "holds more than 64 files"),
    ],
)
def test_an_archive_that_holds_anything_else_is_refused(packed, tmp_path, change, expected):
    archive = rewritten(packed, tmp_path / "bundle.zip", change)
    with pytest.raises(DataError, match=r"^[^\n]*$") as refused:
        Bundle.load(archive)
    assert expected in str(refused.value)
    assert str(refused.value).startswith(str(archive))
    with pytest.raises(DataError):
        unpack(archive, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"bundle.zip"}


def test_links_are_refused(fitted, tmp_path):
    with tarfile.open(tmp_path / "linked.tar", "w") as archive:
        for file in fitted.path.iterdir():
            if file.name == "seen.json":
                link = tarfile.TarInfo("b/seen.json")
                link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(link)
            else:
                archive.add(file, f"b/{file.name}")
    with pytest.raises(DataError, match=r"'b/seen.json' is a link"):
        Bundle.load(tmp_path / "linked.tar")


def test_what_is_no_archive_or_is_damaged_is_one_line(packed, tmp_path):
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(DataError, match="no bundle, neither a folder nor an archive"):
        Bundle.load(tmp_path / "text.zip")
    data = bytearray(packed.read_bytes())
    (tmp_path / "cut.zip").write_bytes(data[:5000])
    with pytest.raises(
        DataError, match=r"cut\.zip: is damaged \(a \.zip without its end\); copy the archive"
    ):
        Bundle.load(tmp_path / "cut.zip")
    data[len(data) // 2] ^= 255
    (tmp_path / "damaged.zip").write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"damaged\.zip"):
        Bundle.load(tmp_path / "damaged.zip")
    with pytest.raises(UserError, match=r"ends with \.zip or \.tar"):
        pack(tmp_path, tmp_path / "b.rar", CARD)


def test_what_systems_leave_in_an_archive_is_passed_over(packed, fitted, tmp_path):
    archive = rewritten(
        packed,
        tmp_path / "mac.zip",
        lambda files: files | {"__MACOSX/b/._seen.json": b"x", "bundle/.DS_Store": b"x"},
    )
    assert Bundle.load(archive).digest == fitted.digest


def test_the_commands_hand_a_bundle_over(fitted, tmp_path):
    archive = tmp_path / "b.zip"
    said = run("pack", fitted.path, "-o", archive)
    assert str(archive) in said
    assert "there already" in run("pack", fitted.path, "-o", archive, code=2)
    shown = run("show", archive)
    assert shown == run("show", fitted.path)
    assert fitted.digest in shown
    run("unpack", archive, "-o", tmp_path / "out")
    assert (tmp_path / "out" / "README.md").read_text() == (fitted.path / "README.md").read_text()
    (tmp_path / "other").mkdir()
    assert "there is something already" in run("unpack", archive, "-o", tmp_path / "other", code=2)


def test_a_zip_that_says_another_size_than_it_unpacks_to_is_refused(packed, tmp_path):
    """A bomb: the file is a thousand times longer than bundle.json declares."""
    with (
        zipfile.ZipFile(packed) as old,
        zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for info in old.infolist():
            data = old.read(info)
            new.writestr(info.filename, bytes(30_000_000) if info.filename.endswith("seen.json") else data)
    with pytest.raises(DataError, match="is longer than it may be"):
        Bundle.load(tmp_path / "b.zip")


def test_streams_of_tar_are_read_without_their_owner(fitted, tmp_path):
    archive = pack(fitted.path, tmp_path / "b.tar", CARD)
    with tarfile.open(archive) as content:
        assert {(member.uid, member.uname, member.mtime) for member in content} == {(0, "", 0)}
    shutil.copy(archive, tmp_path / "c.tar")
    with (tmp_path / "c.tar").open("r+b") as file:
        file.seek(0, io.SEEK_END)
        file.truncate(file.tell() // 2)
    with pytest.raises(DataError, match=r"c\.tar"):
        Bundle.load(tmp_path / "c.tar")
