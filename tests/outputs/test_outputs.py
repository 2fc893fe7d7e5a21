"""No command writes into another's folder or over its inputs, and one run at a time has a folder."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from secondread.cohorts.manifest import Manifest
from secondread.errors import UserError
from secondread.outputs.folders import made_by, output_bundle, output_folder, refuse_other_folder, table_place
from secondread.outputs.lock import only_one
from secondread.outputs.private import make_folder, private
from secondread.outputs.whole import clear_leftovers, whole_file, whole_folder, write_new, write_whole

HOLD = (
    "import sys, pathlib\nfrom secondread.outputs.whole import whole_file, whole_folder\n"
    "begun = {'file': whole_file, 'folder': whole_folder}[sys.argv[1]](pathlib.Path(sys.argv[2]))\n"
    "begun.__enter__()\nprint('begun', flush=True)\nsys.stdin.read()\n"
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("owner", ["score", "evaluate", "sample", "anomalies", "compare", "demo", "fit"])
def test_a_folder_is_its_own_commands_alone(tmp_path: Path, owner: str) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"made_by": owner}))
    assert made_by(tmp_path) == owner
    for command in ("score", "evaluate", "sample", "anomalies", "compare", "demo"):
        if command == owner:
            refuse_other_folder(tmp_path, command)
        else:
            with pytest.raises(UserError, match=f"is the output of `{owner}`"):
                refuse_other_folder(tmp_path, command)


@pytest.mark.parametrize(
    ("files", "owner"),
    [
        (["readings.csv"], "score"),
        (["metrics.json", "report.html", "run.json"], "evaluate"),
        (["comparison.json"], "compare"),
        (["bundle.json"], "fit"),
        (["notes.txt"], None),
        ([".hidden"], None),
    ],
)
def test_a_folder_of_a_former_version_is_told_by_its_files(
    tmp_path: Path, files: list[str], owner: str | None
) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    assert made_by(tmp_path) == owner


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="other things"), output_folder(tmp_path, "score"):
        pass
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_a_run_that_wrote_nothing_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="wrong"), output_folder(tmp_path / "out", "score"):
        raise UserError("wrong")
    assert not (tmp_path / "out").exists()


def test_no_table_replaces_an_input_or_another_file(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,label\na.png,normal\n")
    (tmp_path / "link.csv").symlink_to(manifest)
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    for output in (manifest, tmp_path / "link.csv"):
        with pytest.raises(UserError, match="is read by this command"):
            table_place(output, ("path",), "manifest", manifest)
    with pytest.raises(UserError, match="no manifest"):
        table_place(tmp_path / "a.png", ("path",), "manifest", tmp_path)
    with pytest.raises(UserError, match="no table of findings"):
        table_place(manifest, ("severity", "kind"), "table of findings", tmp_path / "other.csv")
    assert Manifest.read(table_place(manifest, ("path",), "manifest", tmp_path)).rows
    (tmp_path / "run.json").write_text(json.dumps({"made_by": "score"}))
    with pytest.raises(UserError, match="is the output of `score`"):
        table_place(tmp_path / "new.csv", ("path",), "manifest")


def test_a_second_run_is_refused_and_the_first_leaves_no_lock(tmp_path: Path) -> None:
    here = f"another run is at work here \\(process {os.getpid()} on "
    out = tmp_path / "out"
    with output_folder(out, "score"):
        (out / "run.json").write_text('{"made_by": "score"}')
        with pytest.raises(UserError, match=here), output_folder(out, "score"):
            pass
    assert os.listdir(out) == ["run.json"]
    bundle = tmp_path / "b"
    with output_bundle(bundle), pytest.raises(UserError, match=here), output_bundle(bundle):
        pass
    assert os.listdir(tmp_path) == ["out"]


def test_leftovers_of_killed_writers_go_and_work_under_way_stays(tmp_path: Path) -> None:
    for name in (".b.17.writing", ".b.17-0a1b2c3d.writing", ".b.partial.17-0a1b2c3d.writing"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thumbnails.npz").write_bytes(b"1")
    (tmp_path / ".b.run.json.17-0a1b2c3d.writing").write_text("{")
    (tmp_path / ".other.17-0a1b2c3d.writing").write_text("another output's")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, "folder", str(tmp_path / "b")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"begun\n"
        with output_bundle(tmp_path / "b"):
            left = sorted(os.listdir(tmp_path))
        assert len(left) == 3
        assert left[0].startswith(f".b.{other.pid}-")
        other.kill()
        other.wait()
    with output_bundle(tmp_path / "b"):
        assert sorted(os.listdir(tmp_path)) == [".b.lock", ".other.17-0a1b2c3d.writing"]


def test_leftovers_within_a_folder_go_too(tmp_path: Path) -> None:
    maps = tmp_path / "maps" / "films"
    maps.mkdir(parents=True)
    (maps / ".a.png.map.tiff.17-0a1b2c3d.writing").write_bytes(b"1")
    (maps / "a.png.map.tiff").write_bytes(b"1")
    (tmp_path / ".lock").write_text("of this very run")
    (maps / ".lock").write_text("of a run that was killed")
    clear_leftovers(tmp_path)
    assert os.listdir(maps) == ["a.png.map.tiff"]
    assert (tmp_path / ".lock").exists()


def test_what_is_written_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_whole(tmp_path / "new" / "folder" / "a.csv", b"1")
        with whole_folder(tmp_path / "bundle") as folder:
            (folder / "a.json").write_text("{}")
        make_folder(tmp_path / "made")
        with private():
            (tmp_path / "other.npz").write_bytes(b"1")
    finally:
        os.umask(before)
    for path in ("new", "new/folder", "bundle", "made"):
        assert mode(tmp_path / path) == 0o700, path
    for path in ("new/folder/a.csv", "bundle/a.json", "other.npz"):
        assert mode(tmp_path / path) == 0o600, path


def test_what_its_owner_opened_stays_open(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.csv", b"1")
    (tmp_path / "a.csv").chmod(0o640)
    write_whole(tmp_path / "a.csv", b"2")
    assert mode(tmp_path / "a.csv") == 0o640


def test_a_stricter_umask_is_heeded(tmp_path: Path) -> None:
    before = os.umask(0o277)
    try:
        with private():
            write_whole(tmp_path / "a.csv", b"1")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a.csv") == 0o400


def test_a_name_of_255_bytes_can_be_written_whole(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 125 + ".tiff")
    with whole_file(path) as file:
        file.write(b"1")
    assert path.read_bytes() == b"1"


def test_a_new_file_never_replaces_one(tmp_path: Path) -> None:
    write_new(tmp_path / "key", b"first")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "key", b"second")
    assert (tmp_path / "key").read_bytes() == b"first"
    assert mode(tmp_path / "key") == 0o600
    assert os.listdir(tmp_path) == ["key"]


def test_a_lock_waits_for_an_earlier_run_to_end(tmp_path: Path) -> None:
    with (
        only_one(tmp_path),
        pytest.raises(UserError, match="at work"),
        only_one(tmp_path, wait_seconds=0.2),
    ):
        pass
    with only_one(tmp_path, wait_seconds=0.2):
        pass
