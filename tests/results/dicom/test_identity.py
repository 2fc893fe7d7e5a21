import re
from datetime import UTC, datetime

import pytest
from pydicom.dataset import Dataset
from read_study import author

from secondread.results.dicom.identity import Author, uid_of, when


def header(**elements: object) -> Dataset:
    made = Dataset()
    made.StudyInstanceUID, made.SeriesInstanceUID, made.SeriesNumber = "1.2.3", "1.2.3.4", 5
    for keyword, element in elements.items():
        setattr(made, keyword, element)
    return made


def result(**elements: object) -> Dataset:
    return header(SOPInstanceUID="2.25.1", ContentDate="19990101", ContentTime="010203", **elements)


def test_the_same_result_has_the_same_uids():
    first, again = (author().instance("overlay", header(), ["1.2.3.4.5"]) for _ in range(2))
    assert first == again
    assert re.fullmatch(r"2\.25\.[1-9]\d{0,38}", first.uid)


@pytest.mark.parametrize(
    "changed",
    [
        {"digests": {"bundle": "cd" * 20}},
        {"calibration": {"false_alarm_rate": 0.1}},
        {"map_threshold": 0.6},
        {"versions": {"secondread": "9.9"}},
    ],
)
def test_another_bundle_calibration_or_version_gives_other_objects(changed):
    one = author().instance("overlay", header(), ["1"])
    other = author(**changed).instance("overlay", header(), ["1"])
    assert one.uid != other.uid
    assert one.series_uid != other.series_uid


def test_kinds_series_and_images_have_uids_of_their_own():
    made = [
        author().instance(kind, header(SeriesInstanceUID=series), [image])
        for kind in ("segmentation", "parametric map", "overlay")
        for series in ("1.2.3.4", "1.2.3.5")
        for image in ("1", "2")
    ]
    assert len({one.uid for one in made}) == 12
    assert len({one.series_uid for one in made}) == 6


def test_series_numbers_follow_those_of_the_source():
    assert author().instance("segmentation", header()).series_number == 20005
    assert author().instance("overlay", header(SeriesNumber=None)).series_number == 40000


def test_parts_of_a_name_do_not_run_together():
    assert uid_of("ab", "c") != uid_of("a", "bc")


def test_dates_are_those_of_the_reading_in_the_sources_time_zone():
    signed = author().signed(result(), header(TimezoneOffsetFromUTC="-0330"))
    assert (signed.ContentDate, signed.ContentTime) == ("20260304", "013607")
    assert (signed.SeriesDate, signed.TimezoneOffsetFromUTC) == ("20260304", "-0330")


def test_without_a_record_of_the_time_another_stands_in():
    otherwise = datetime(2001, 2, 3, tzinfo=UTC)
    assert author(started="").made == datetime(2000, 1, 1, tzinfo=UTC)
    assert when("not a time") is None
    assert when("2001-02-03T00:00:00") == otherwise


def test_a_models_name_fits_a_header():
    made: Author = author(recipe={"about": {"title": "A\\B\nC" + "x" * 99}})
    assert made.model.startswith("A B Cxxx")
    assert len(made.model) == 64


def test_what_must_not_be_empty_is_left_out():
    signed = author().signed(result(ProcedureCodeSequence=[], ReferencedStudySequence=[Dataset()]), header())
    assert "ProcedureCodeSequence" not in signed
    assert "ReferencedStudySequence" in signed
