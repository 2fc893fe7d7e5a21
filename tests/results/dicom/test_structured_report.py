import io

import highdicom as hd
import pydicom
import pytest
from read_study import UID, Read, author, record, study

from secondread.results.concepts import SCHEME
from secondread.results.dicom.identity import RESEARCH_USE
from secondread.results.dicom.quiet import quiet_writing
from secondread.results.dicom.secondary_capture import overlay
from secondread.results.dicom.structured_report import structured_report


def report_of(*read: Read, unread: str = "", results: dict | None = None) -> bytes:
    with quiet_writing():
        made = structured_report(study(*read, unread=unread), record(), author(), results)
        written = io.BytesIO()
        made.save_as(written, enforce_file_format=True)
    return written.getvalue()


@pytest.fixture(scope="module")
def report(series: Read, film: Read) -> bytes:
    with quiet_writing():
        picture = overlay(
            film.source, film.image, film.heat, (0, 1), film.reading, author(),
            author().instance("overlay", film.source.headers[0], ["x"]),
        )  # fmt: skip
    return report_of(series, film, unread="its header is cut short", results={"film.dcm": [picture]})


@pytest.fixture(scope="module")
def read_back(report: bytes) -> hd.sr.ComprehensiveSR:
    return hd.sr.srread(io.BytesIO(report))


def groups(report: hd.sr.ComprehensiveSR) -> list:
    return report.content.get_image_measurement_groups()


def numbers(group) -> dict[str, float]:
    return {one.name.value: one.value for one in group.get_measurements()}


def texts(group) -> dict[str, str]:
    return {item.name.value: item.value for item in group[0].ContentSequence if item.ValueType == "TEXT"}


def test_numbers_are_read_back_to_the_last_digit(read_back):
    assert numbers(groups(read_back)[0]) == {
        "score": 1.2345678901234567,
        "p-value": 1 / 31,
        "threshold": 1.2345678901234567,
        "false-alarm-rate": 0.05,
        "rate-low": 0.0061,
        "rate-high": 0.1234,
        "normals": 60,
        "patients": 41,
    }
    assert numbers(groups(read_back)[1])["score"] == -3.25e-7


def test_an_image_is_flagged_passed_or_not_judged(read_back):
    series, film, _, whole = groups(read_back)
    flags = [group.get_qualitative_evaluations()[0].value for group in (series, film, whole)]
    assert [flag.meaning for flag in flags] == ["Yes", "Not judged: too few calibration normals", "No"]
    assert flags[1].scheme_designator == SCHEME


def test_every_instance_that_was_read_is_named(read_back, series: Read, film: Read):
    named = [[one.referenced_sop_instance_uid for one in group.source_images] for group in groups(read_back)]
    assert named[0] == [header.SOPInstanceUID for header in series.source.headers]
    assert named[1] == [header.SOPInstanceUID for header in film.source.headers]
    evidence = {uid for _, _, uid, _ in read_back.get_evidence()}
    assert {*named[0], *named[1]} < evidence


def test_other_results_are_referred_to(read_back):
    items = groups(read_back)[1][0].ContentSequence
    (picture,) = [item for item in items if item.name.value == "overlay"]
    assert picture.referenced_sop_instance_uid in {uid for _, _, uid, _ in read_back.get_evidence()}


def test_an_image_that_was_not_read_stands_there_with_the_reason(read_back):
    group = groups(read_back)[2]
    assert texts(group)["not-read"] == "its header is cut short"
    assert group.get_qualitative_evaluations()[0].value.meaning == "No"
    assert numbers(group) == {}
    assert group.tracking_identifier == "gone.dcm"


def test_the_score_of_the_study_and_remarks_and_promise_are_told(read_back):
    series, _, _, whole = groups(read_back)
    assert numbers(whole)["study-score"] == 2.5
    assert texts(series)["121106"] == "uneven slices — told"
    assert texts(series)["promise"].startswith("At most 5 %")


def test_it_says_what_read_and_that_it_is_for_research(read_back):
    (observer,) = read_back.content.get_observer_contexts()
    assert observer.observer_identifying_attributes.serial_number == "ab" * 20
    words = [item.value for item in read_back.content[0].ContentSequence if item.ValueType == "TEXT"]
    assert any(text.startswith(RESEARCH_USE) for text in words)
    assert RESEARCH_USE.lower() in read_back.SeriesDescription
    assert (read_back.CompletionFlag, read_back.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert read_back.PreliminaryFlag == "PRELIMINARY"
    (scheme,) = read_back.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == SCHEME


def test_the_patient_and_the_study_are_the_sources(read_back):
    assert str(read_back.PatientName) == "Doe^Jürgen"
    told = (read_back.PatientID, read_back.PatientBirthDate, read_back.AccessionNumber)
    assert told == ("P-4711", "19500102", "A77")
    assert read_back.StudyInstanceUID == UID


def test_the_same_readings_give_the_same_bytes(series: Read, film: Read):
    assert report_of(series, film) == report_of(series, film)


def test_a_name_in_another_script_arrives(film: Read):
    header = film.source.headers[0]
    before = header.PatientName
    header.PatientName = "Yamada^Tarou=山田^太郎"
    try:
        found = pydicom.dcmread(io.BytesIO(report_of(film)))
    finally:
        header.PatientName = before
    assert str(found.PatientName) == "Yamada^Tarou=山田^太郎"


def test_a_source_of_a_class_or_character_set_that_no_table_has_is_reported_on(film: Read):
    header = film.source.headers[0]
    before = header.SOPClassUID
    header.SOPClassUID, header.SpecificCharacterSet = "1.2.840.10008.5.1.4.1.1.3", "NONE SUCH"
    try:
        found = pydicom.dcmread(io.BytesIO(report_of(film)))
    finally:
        header.SOPClassUID, header.SpecificCharacterSet = before, "ISO_IR 192"
    assert found.PatientID == "P-4711"
    (series,) = found.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.3"
