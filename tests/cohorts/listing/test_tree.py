import os

import numpy as np
import pytest
from PIL import Image

from secondread.cohorts.listing.index import index
from secondread.cohorts.listing.tree import tree_of


@pytest.fixture
def base(tmp_path):
    for name in ("store/normal/n0.png", "store/normal/n1.png", "data/pneumonia/p0.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(len(name)).integers(0, 255, (16, 16)).astype(np.uint8)
        Image.fromarray(values).save(path)
    return tmp_path / "data"


def test_a_linked_folder_is_followed_and_its_name_counts(base):
    (base / "normal").symlink_to("../store/normal")
    (base / "pneumonia" / "gone.png").symlink_to("nowhere.png")
    found = index(base, workers=0)
    assert {row.path: row.label for row in found.manifest.rows} == {
        "normal/n0.png": "normal",
        "normal/n1.png": "normal",
        "pneumonia/p0.png": "abnormal",
    }
    assert [aside.path for aside in found.set_aside] == ["pneumonia/gone.png"]


def test_loops_end_and_no_file_is_listed_twice(base):
    (base / "up").symlink_to("..")
    (base / "itself").symlink_to(".")
    (base / "pneumonia" / "root").symlink_to("/")
    (base / "again").symlink_to("pneumonia")
    (base / "first").symlink_to("../store/normal")
    (base / "second").symlink_to("../store/normal")
    (base / "third").symlink_to("../store")
    found = tree_of(base)
    assert found.files == ["first/n0.png", "first/n1.png", "pneumonia/p0.png"]
    assert {aside.path: aside.reason.split(" ")[0:2] for aside in found.aside} == {
        "up": ["a", "link"],
        "itself": ["a", "link"],
        "pneumonia/root": ["a", "link"],
        "again": ["a", "link"],
        "second": ["the", "same"],
        "third/normal": ["the", "same"],
    }
    assert "listed" in {aside.path: aside.reason for aside in found.aside}["again"]


def test_a_link_to_a_hidden_folder_is_followed(base):
    (base.parent / "store").rename(base / ".store")
    (base / "normal").symlink_to(".store/normal")
    assert tree_of(base).files == ["normal/n0.png", "normal/n1.png", "pneumonia/p0.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_said(base):
    (base / "pneumonia").chmod(0)
    try:
        (aside,) = tree_of(base).aside
    finally:
        (base / "pneumonia").chmod(0o755)
    assert (aside.path, aside.unreadable) == ("pneumonia", True)
    assert "cannot be listed" in aside.reason


def test_maps_and_reports_below_the_images_are_not_images(tmp_path):
    for name in ("a.png", "readings/maps/a.png.overlay.png", "report/figures/roc.png", "plain/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "readings" / "run.json").write_text('{"made_by": "score"}')
    (tmp_path / "report" / "run.json").write_text('{"made_by": "evaluate"}')
    found = tree_of(tmp_path)
    assert sorted(found.files) == ["a.png", "plain/b.png"]
    assert {aside.path: aside.reason.split(",")[0] for aside in found.aside} == {
        "readings": "the output of `score`",
        "report": "the output of `evaluate`",
    }
