import numpy as np
import pytest
from made_readings import Made, make_readings

from secondread.evaluation.evaluate import evaluate
from secondread.reports import pictures
from secondread.reports.gallery import Gallery, make_gallery


def gallery_of(made: Made, **options: int) -> Gallery:
    evaluation = evaluate(made.write().csv, made.manifest, bootstrap=50, workers=0)
    return make_gallery(evaluation, workers=0, **options)


@pytest.fixture
def made(tmp_path):
    return make_readings(tmp_path, normal=14, abnormal=10)


def paths(tiles) -> list[str]:
    return [tile.case.path for tile in tiles]


def test_sheets_show_both_ends_of_the_score(made):
    gallery = gallery_of(made, shown=6)
    (sheet,) = gallery.sheets
    ranked = sorted(made.readings, key=lambda reading: -float(reading["score"]))
    assert paths(sheet.highest) == [reading["path"] for reading in ranked[:6]]
    assert paths(sheet.lowest) == [reading["path"] for reading in ranked[:-7:-1]]


def test_a_part_likelihood_has_a_sheet_of_its_own(made):
    made.give_part("likelihood", np.arange(24), weight=1.0)
    by_score, by_likelihood = gallery_of(made, shown=6).sheets
    assert by_score.title == "by the score"
    assert paths(by_likelihood.highest) == [row["path"] for row in made.rows[:-7:-1]]
    assert by_likelihood.top == "Least likely (highest values)"


def test_a_two_tailed_likelihood_claims_no_likely_end(made):
    made.give_part("likelihood", np.arange(24), tail="two", weight=1.0)
    assert gallery_of(made).sheets[1].top == "Highest values"


def test_a_score_that_is_the_likelihood_alone_has_one_sheet(made):
    made.give_part("likelihood", [2 * float(reading["score"]) - 1 for reading in made.readings], weight=1.0)
    assert len(gallery_of(made).sheets) == 1


def test_each_file_is_read_once(made, monkeypatch):
    read: list[str] = []
    original = pictures.read_image

    def counted(reference):
        read.append(str(reference))
        return original(reference)

    monkeypatch.setattr(pictures, "read_image", counted)
    made.give_part("likelihood", np.arange(24), weight=1.0)
    gallery_of(made)
    assert len(read) == len(set(read)) == 24


def test_thumbnails_are_small_jpegs_of_what_stands_on_a_sheet_alone(made):
    gallery = gallery_of(made, shown=3)
    assert all(tile.drawn.thumbnail.startswith("data:image/jpeg") for tile in gallery.sheets[0].highest)
    assert all(len(tile.drawn.thumbnail) < 6000 for tile in gallery.sheets[0].highest)
    assert any(not tile.drawn.thumbnail for tile in gallery.missed + gallery.false_alarms)
