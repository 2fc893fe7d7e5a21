import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from secondread.errors import DataError, UserError
from secondread.preprocessing import prepare
from secondread.preprocessing.cache import entry
from secondread.preprocessing.cache.cache import Cache, fingerprint_of
from secondread.preprocessing.prepare import fit_preprocessing, prepare_many
from secondread.preprocessing.prepared import Prepared
from secondread.preprocessing.prepared_set import prepare_set
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings

STEPS = {"size": [48, 48], "colour": "rgb", "steps": [{"window": "header"}, {"align": {}}]}

PREPARE_FOR_EVER = """
import sys
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.prepare import prepare_many
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings
cache = Cache(sys.argv[1])
for size in range(16, 1000):
    preprocessing = Preprocessing(PreprocessingSettings(size=(size, size)))
    assert all(len(p.pixels) for p in prepare_many(sys.argv[2:], preprocessing, cache=cache, workers=0))
    if size == 16:
        print("ready", flush=True)  # all is imported
"""


@pytest.fixture
def references(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    ramp = np.add.outer(np.arange(60), np.arange(50))
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 60, (60, 50))
        Pillow.fromarray((ramp + noise).astype(np.uint8)).save(folder / f"{number}.png")
    return [str(path) for path in sorted(folder.iterdir())]


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


@pytest.fixture
def plain():
    return Preprocessing(PreprocessingSettings(size=(32, 32), fit="pad"))


def never_read(monkeypatch):
    def refuse(reference, **_):
        raise AssertionError(f"{reference} was decoded again")

    monkeypatch.setattr(prepare, "read_image", refuse)


def test_prepared_images_come_in_order_with_the_broken_ones_in_their_place(references, plain, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("not an image")
    asked = [references[0], str(text), references[1], str(tmp_path / "missing.png")]
    told = []
    found = list(prepare_many(asked, plain, workers=2, progress=told.append))
    assert [type(one).__name__ for one in found] == ["Prepared", "ImageError", "Prepared", "ImageError"]
    assert str(text) in str(found[1])
    assert told == [1, 2, 3, 4]


def test_the_cache_gives_what_was_prepared_without_decoding_again(references, cache, plain, monkeypatch):
    first = list(prepare_many(references, plain, workers=0))
    stored = list(prepare_many(references, plain, cache=cache, workers=0))
    never_read(monkeypatch)
    again = list(prepare_many(references, plain, cache=cache, workers=0))
    for a, b, c in zip(first, stored, again, strict=True):
        for other in (b, c):
            np.testing.assert_array_equal(a.pixels, other.pixels)
            np.testing.assert_array_equal(a.valid, other.valid)
            np.testing.assert_array_equal(a.thumbnail, other.thumbnail)
            assert a.placement.to_json() == other.placement.to_json()
            assert dict(a.acquisition) == dict(other.acquisition)
            assert a.digest == other.digest
    assert not again[0].pixels.flags.writeable


def test_a_changed_file_is_decoded_again(references, cache, plain):
    before = next(prepare_many(references[:1], plain, cache=cache, workers=0))
    Pillow.fromarray(np.full((60, 50), 9, np.uint8)).save(references[0])
    after = next(prepare_many(references[:1], plain, cache=cache, workers=0))
    assert after.digest != before.digest
    assert after.pixels.max() <= 9 / 255 + 1e-6


def test_a_file_that_is_gone_has_no_fingerprint_wherever_the_command_runs(references, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(references[0]).parent)
    for gone in (str(tmp_path / "gone.png"), "gone.png", "gone.npz#3", "#3"):
        assert fingerprint_of(gone) is None
    assert fingerprint_of(references[0]) is not None


def test_pages_of_one_file_do_not_share_an_entry(tmp_path, cache, plain):
    path = tmp_path / "pages.npz"
    np.savez(path, images=np.stack([np.full((20, 20), v, np.uint8) for v in (10, 200)]))
    asked = [f"{path}#images/0", f"{path}#images/1"]
    pixels = [p.pixels.max() for p in prepare_many(asked, plain, cache=cache, workers=0)]
    np.testing.assert_allclose(pixels, [10 / 255, 200 / 255], atol=1e-6)


def test_aligning_images_that_the_window_refuses_says_why(references, cache):
    steps = {**STEPS, "steps": [{"window": "brain"}, {"align": {}}]}
    unfitted = Preprocessing(PreprocessingSettings.model_validate(steps))
    with pytest.raises(DataError, match=r"none can be prepared; first: .* no Hounsfield units"):
        fit_preprocessing(references, unfitted, cache=cache, workers=0)


def test_aligning_after_the_fit_decodes_nothing_again(references, cache, monkeypatch):
    fitted = fit_preprocessing(
        references,
        Preprocessing(PreprocessingSettings.model_validate(STEPS)),
        cache=cache,
        workers=0,
    )
    without_cache = prepare_set(references, fitted, workers=0)
    never_read(monkeypatch)
    prepared = prepare_set(references, fitted, cache=cache, workers=0)
    np.testing.assert_array_equal(prepared.batch(range(6))[0], without_cache.batch(range(6))[0])
    assert all(p.aligned is not None for p in prepared.placements)


def test_a_damaged_entry_is_prepared_again(references, cache, plain):
    whole = next(prepare_many(references[:1], plain, cache=cache, workers=0)).pixels.copy()
    path = cache.entry_path(references[0], plain.digest)
    for damaged in (path.read_bytes()[:-3], b"", b"2readpp2" + b"\xff" * 80, os.urandom(4000)):
        path.unlink()
        path.write_bytes(damaged)
        again = next(prepare_many(references[:1], plain, cache=cache, workers=0))
        np.testing.assert_array_equal(again.pixels, whole)


def damages(data, draw):
    """One entry or note, damaged in every way that a disk, a copy or a person damages files."""
    at = int(draw.integers(len(data)))
    run = int(draw.integers(1, 200))
    bits = bytes([data[at] ^ (1 << int(draw.integers(8)))])
    yield "bit", data[:at] + bits + data[at + 1 :]
    yield "byte", data[:at] + bytes([data[at] ^ int(draw.integers(1, 256))]) + data[at + 1 :]
    yield "zeros", data[:at] + bytes(len(data[at : at + run])) + data[at + run :]
    yield "cut", data[:at]
    yield "longer", data + data[: run % 50 + 1]
    yield "gone inside", data[:at] + data[at + run :]
    yield "random", draw.bytes(len(data))
    yield "empty", b""


def test_of_five_hundred_damaged_entries_and_notes_none_is_used(references, cache, plain):
    found = prepare_many(references, plain, cache=cache, workers=0)
    whole = {reference: one.pixels.copy() for reference, one in zip(references, found, strict=True)}
    draw = np.random.default_rng(0)
    kinds = Counter()
    for turn in range(6):
        for reference in references:
            entry, note = cache.entry_path(reference, plain.digest), cache._note_path(reference)
            for path in (entry, note):
                data = path.read_bytes()
                for kind, damaged in damages(data, draw):
                    if damaged == data:
                        continue
                    path.write_bytes(damaged)
                    assert cache.find(reference, plain.digest) is None, (turn, kind, path.name)
                    kinds[kind] += 1
                (again,) = prepare_many([reference], plain, cache=cache, workers=0)
                np.testing.assert_array_equal(again.pixels, whole[reference])
                assert path.read_bytes() == data
    assert sum(kinds.values()) > 500
    assert len(kinds) == 8


def test_swapped_entries_and_notes_are_noticed(references, cache, plain):
    other = Preprocessing(PreprocessingSettings(size=(32, 32), fit="crop"))
    whole = {}
    for preprocessing in (plain, other):
        found = prepare_many(references, preprocessing, cache=cache, workers=0)
        whole[preprocessing.digest] = [one.pixels.copy() for one in found]
    entries = {(r, p.digest): cache.entry_path(r, p.digest) for r in references for p in (plain, other)}
    held = {key: path.read_bytes() for key, path in entries.items()}
    swapped = 0
    for key, path in entries.items():
        for donor, data in held.items():
            if donor == key:
                continue
            path.write_bytes(data)
            assert cache.find(key[0], key[1]) is None, (key, donor)
            swapped += 1
        path.write_bytes(held[key])
        assert cache.find(*key) is not None
    notes = [cache._note_path(reference) for reference in references]
    for note in notes:
        own = note.read_bytes()
        for donor in notes:
            if donor != note:
                note.write_bytes(donor.read_bytes())
                assert cache.find(references[notes.index(note)], plain.digest) is None
                swapped += 1
        note.write_bytes(own)
    assert swapped == 12 * 11 + 6 * 5
    for preprocessing in (plain, other):
        found = prepare_many(references, preprocessing, cache=cache, workers=0)
        for image, expected in zip(found, whole[preprocessing.digest], strict=True):
            np.testing.assert_array_equal(image.pixels, expected)


def test_an_entry_that_was_right_before_is_looked_at_again_once_it_changes(references, cache, plain):
    prepared = prepare_set(references, plain, cache=cache, workers=0)
    path = cache.entry_path(references[0], plain.digest)
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))
    whole = prepared[0].pixels.copy()
    with path.open("r+b") as stream:
        stream.seek(600)
        stream.write(b"\xff" * 40)
    np.testing.assert_array_equal(prepared[0].pixels, whole)
    np.testing.assert_array_equal(prepared.batch([0])[0][0], whole)


def test_what_another_version_prepared_is_prepared_again(references, cache, plain, monkeypatch):
    (before,) = prepare_many(references[:1], plain, cache=cache, workers=0)
    monkeypatch.setattr(entry, "made_by", lambda: "secondread 0.0.1")
    assert cache.find(references[0], plain.digest) is None
    (again,) = prepare_many(references[:1], plain, cache=cache, workers=0)
    np.testing.assert_array_equal(again.pixels, before.pixels)
    assert cache.find(references[0], plain.digest) is not None


def test_a_file_exchanged_with_its_times_kept_is_decoded_again(references, cache, plain):
    list(prepare_many(references[:1], plain, cache=cache, workers=0))
    state = os.stat(references[0])
    with open(references[0], "r+b") as stream:
        stream.write(stream.read())
    os.utime(references[0], ns=(state.st_atime_ns, state.st_mtime_ns))
    assert cache.find(references[0], plain.digest) is None


def test_a_set_gives_batches_and_survives_a_cleared_cache(references, cache, plain, tmp_path):
    asked = [references[0], str(tmp_path / "missing.png"), *references[1:]]
    prepared = prepare_set(asked, plain, cache=cache, workers=0)
    assert len(prepared) == 6
    assert prepared.positions == [0, 2, 3, 4, 5, 6]
    assert prepared.references == references
    assert [error.path for error in prepared.errors] == [asked[1]]
    assert prepared.thumbnails.shape == (6, 16, 16)
    pixels, valid = prepared.batch([4, 0])
    assert pixels.shape == (2, 1, 32, 32)
    assert valid.shape == (2, 1, 32, 32)
    assert not valid.all()
    np.testing.assert_array_equal(pixels[1], prepared[0].pixels)
    cache.clear()
    np.testing.assert_array_equal(prepared.batch([4, 0])[0], pixels)
    Pillow.fromarray(np.zeros((60, 50), np.uint8)).save(references[0])
    cache.clear()
    with pytest.raises(DataError, match="has changed"):
        prepared.batch([0])


def test_the_size_is_told_and_kept_below_the_limit(references, cache, plain):
    list(prepare_many(references, plain, cache=cache, workers=0))
    entry = cache.entry_path(references[0], plain.digest).stat().st_size
    assert cache.size() > 6 * entry
    for age, reference in enumerate(references):
        path = cache.entry_path(reference, plain.digest)
        os.utime(path, (time.time() - age, time.time() - age))
    small = Cache(cache.directory, limit_bytes=cache.size() - 2 * entry)
    small.trim()
    assert small.size() <= small.limit_bytes
    assert small.find(references[0], plain.digest) is not None
    assert small.find(references[5], plain.digest) is None
    small.clear()
    assert small.find(references[0], plain.digest) is None


def test_a_cache_below_its_limit_is_not_looked_through_and_one_that_was_killed_at_it_is(
    references, cache, plain, monkeypatch
):
    looked = []
    files = Cache._files
    monkeypatch.setattr(Cache, "_files", lambda self: looked.append(1) or files(self))
    cache.limit_bytes = 10**8
    list(prepare_many(references[:3], plain, cache=cache, workers=0))
    assert len(looked) == 1
    list(prepare_many(references[3:], plain, cache=cache, workers=0))
    cache.trim()
    assert len(looked) == 1
    assert cache.growth.at_most() >= sum(
        cache.entry_path(reference, plain.digest).stat().st_size for reference in references
    )
    cache.growth.begin_count()  # and no end
    cache.trim()
    assert len(looked) == 2
    cache.limit_bytes = cache.growth.at_most() - 1
    cache.trim()
    assert cache.growth.at_most() <= 0.9 * cache.limit_bytes


def test_a_folder_with_other_files_is_not_taken_for_a_cache(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="no cache"):
        Cache(tmp_path)


def test_a_disk_that_refuses_is_said_in_one_line_and_leaves_no_rubbish(references, cache, plain):
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = set(cache.directory.rglob("*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(UserError, match=r"cannot be written \(File too large\)"):
            list(prepare_many(references, plain, cache=cache, workers=0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not [path for path in set(cache.directory.rglob("*")) - before if path.is_file()]


def test_file_names_in_the_cache_do_not_tell_the_references(references, cache, plain):
    list(prepare_many(references, plain, cache=cache, workers=0))
    for path in cache.directory.rglob("*"):
        if path.is_file():
            assert b"films" not in path.read_bytes()


def test_two_writers_and_a_kill_leave_only_whole_entries(references, cache):
    command = [sys.executable, "-c", PREPARE_FOR_EVER, str(cache.directory), *references]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        writer.stdout.readline()
    time.sleep(1.0)
    for writer in writers:
        assert writer.poll() is None
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    whole = 0
    for size in range(16, 1000):
        preprocessing = Preprocessing(PreprocessingSettings(size=(size, size)))
        found = [cache.find(reference, preprocessing.digest) for reference in references]
        present = [one for one in found if isinstance(one, Prepared)]
        entries = list((cache.directory / "entries" / preprocessing.digest).rglob("[!.]*"))
        assert len(present) == sum(path.is_file() for path in entries)
        whole += len(present)
        if not entries:
            break
    assert whole > 20


def test_workers_share_the_cache_and_import_no_torch(references, cache, plain):
    code = (
        "import sys\n"
        "import secondread.preprocessing.prepared_set\n"
        "assert not {'torch', 'monai'} & set(sys.modules), 'torch was imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    found = list(prepare_many(references, plain, cache=cache, workers=2))
    assert all(isinstance(one, Prepared) for one in found)
    assert all(cache.find(reference, plain.digest) is not None for reference in references)
