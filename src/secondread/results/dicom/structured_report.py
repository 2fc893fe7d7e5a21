"""What was read of one study, as a structured report: DICOM's Measurement Report (PS3.16 TID 1500) in a
Comprehensive SR, which archives and viewers take most widely.

Each image or volume has a measurement group (TID 1501) that names its instances, with score, p-value, flag,
and what the threshold promises. Concepts without a code in DICOM's own tables have one of `concepts.SCHEME`.
The report is complete, unverified and preliminary: no person has looked at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from secondread.images.dicom.dataset import text
from secondread.readings.reading import Reading
from secondread.readings.score_record import ScoreRecord
from secondread.results import concepts
from secondread.results.concepts import Concept
from secondread.results.dicom.coding_scheme import coding_scheme
from secondread.results.dicom.headers import CHARACTER_SET
from secondread.results.dicom.identity import MAKER, RESEARCH_USE, Author, uid_of
from secondread.results.dicom.patient import of_a_known_class
from secondread.results.dicom.studies import ImageRead, Study, called, image_key, read_of
from secondread.results.promise import Level, Promise

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept, ContentItem, Measurement, MeasurementsAndQualitativeEvaluations
    from pydicom import Dataset

    from secondread.results.dicom.source import Source

_PROCEDURES = {
    "CT": ("25045-6", "CT unspecified body region", "LN"),
    "MR": ("25056-3", "MRI unspecified body region", "LN"),
    "PT": ("44136-0", "PET unspecified body region", "LN"),
    "NM": ("49118-3", "NM unspecified body region", "LN"),
}
"""Of CID 100, by modality; it has none for radiographs and ultrasound."""
_OTHER_PROCEDURE = ("363679005", "Imaging procedure", "SCT")
_OBJECTS = {
    "1.2.840.10008.5.1.4.1.1.66.4": concepts.SEGMENTATION,
    "1.2.840.10008.5.1.4.1.1.30": concepts.PARAMETRIC_MAP,
    "1.2.840.10008.5.1.4.1.1.7": concepts.OVERLAY,
}
"""By SOP class."""
_WORDS = f"{RESEARCH_USE}. A low score does not mean that an image is normal."


def structured_report(
    study: Study,
    run: ScoreRecord,
    author: Author,
    results: Mapping[str, Sequence[Dataset]] | None = None,
    notes: Mapping[str, Sequence[str]] | None = None,
) -> Dataset:
    """The report of a study.

    results  path of a reading -> the other DICOM results that were made of it, to which the report refers
    notes    path of a reading -> what is to be said of results that were not made

    To be called within `quiet_writing`. Raises AttributeError, KeyError or ValueError, as highdicom does,
    where the source is of no class that DICOM knows.
    """
    from highdicom import sr

    made, said = results or {}, notes or {}
    groups = [
        _group(study, image, run, author, made.get(image.reading.path, ()), said.get(image.reading.path, ()))
        for image in study.images
    ]
    groups += [_study_group(study, reading, run, author) for reading in study.studies]
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(author)),
        procedure_reported=sr.CodedConcept(*_procedure(study.first)),
        imaging_measurements=groups,
    )
    content[0].ContentSequence.append(_text(_private(concepts.INTENDED_USE), _WORDS))
    source = study.first.headers[0]
    instance = author.instance("report", source, read_of(study))
    report = _kind()(
        evidence=_evidence(study, made),
        content=content[0],
        is_complete=True,
        specific_character_set=CHARACTER_SET,
        coding_schemes=[coding_scheme()],
        **instance.keywords,
        **author.equipment,
    )
    return author.signed(report, source)


def _kind() -> Any:
    """A Comprehensive SR of sources of any class."""
    from highdicom import sr

    class Report(sr.ComprehensiveSR):
        def copy_patient_and_study_information(self, dataset: Dataset) -> None:
            super().copy_patient_and_study_information(of_a_known_class(dataset))

    return Report


def tracking_uid(author: Author, study: Study, reading: Reading, source: Source | None) -> str:
    """What names the same finding in the report and in the segmentation."""
    key = [reading.path] if source is None else image_key(source)
    return author.uid("tracking", study.uid, *key)


def _group(
    study: Study,
    image: ImageRead,
    run: ScoreRecord,
    author: Author,
    results: Sequence[Dataset],
    notes: Sequence[str],
) -> MeasurementsAndQualitativeEvaluations:
    from highdicom import sr

    reading, source = image.reading, image.source
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            tracking_uid(author, study, reading, source), called(image)
        ),
        algorithm_id=_algorithm(author),
        measurements=None if reading.failed else _measurements(reading, run, "images"),
        qualitative_evaluations=[_flag(reading)] if not reading.failed else [_unread()],
        source_images=None if source is None else _references(source),
    )
    items = (
        [_text(_private(concepts.NOT_READ), reading.error)] if reading.failed else _promised(run, "images")
    )
    items += [_text(_comment(), remark) for remark in (*reading.remarks, *notes)]
    items += [_reference(result) for result in results]
    group[0].ContentSequence.extend(items)
    return group


def _study_group(
    study: Study, reading: Reading, run: ScoreRecord, author: Author
) -> MeasurementsAndQualitativeEvaluations:
    from highdicom import sr

    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            author.uid("tracking of study", study.uid, reading.path), "study"
        ),
        algorithm_id=_algorithm(author),
        measurements=_measurements(reading, run, "studies"),
        qualitative_evaluations=[_flag(reading)],
    )
    group[0].ContentSequence.extend(_promised(run, "studies"))
    return group


def _measurements(reading: Reading, run: ScoreRecord, level: Level) -> list[Measurement]:
    from highdicom import sr

    promise = Promise.of(run, level)
    one = ("1", "no units", "UCUM")
    wanted: list[tuple[Concept, float | None, tuple[str, str, str]]] = [
        (concepts.SCORE if level == "images" else concepts.STUDY_SCORE, reading.score, one),
        (concepts.P_VALUE, reading.p_value, one),
        (concepts.THRESHOLD, promise.threshold, one),
        (concepts.FALSE_ALARM_RATE, promise.false_alarm_rate, one),
        (concepts.RATE_LOW, promise.low, one),
        (concepts.RATE_HIGH, promise.high, one),
        (concepts.NORMALS, promise.normals, ("{scores}", "scores", "UCUM")),
        (concepts.PATIENTS, promise.patients, ("{patients}", "patients", "UCUM")),
    ]
    return [
        sr.Measurement(name=_private(concept), value=value, unit=sr.CodedConcept(*_code(unit)))
        for concept, value, unit in wanted
        if value is not None
    ]


def _promised(run: ScoreRecord, level: Level) -> list[ContentItem]:
    words = Promise.of(run, level).words
    return [_text(_private(concepts.PROMISE), words)] if words else []


def _flag(reading: Reading) -> Any:
    from highdicom import sr

    values = {
        True: sr.CodedConcept("373066001", "SCT", "Yes"),
        False: sr.CodedConcept("373067005", "SCT", "No"),
        None: _private(concepts.NOT_JUDGED),
    }
    return sr.QualitativeEvaluation(_private(concepts.FLAG), values[reading.flagged])


def _unread() -> Any:
    from highdicom import sr

    return sr.QualitativeEvaluation(_private(concepts.WAS_READ), sr.CodedConcept("373067005", "SCT", "No"))


def _references(source: Source) -> list[Any]:
    """The instances of an image, once each, with its frames where it is not all of a multi-frame object."""
    from highdicom import sr

    found = []
    for number, header in enumerate(source.headers):
        frames = [p.frame for p in source.planes if p.header == number and p.frame is not None]
        several = int(header.get("NumberOfFrames") or 1) > 1
        found.append(
            sr.SourceImageForMeasurementGroup(
                str(header.SOPClassUID),
                str(header.SOPInstanceUID),
                sorted(frames) if frames and several else None,
            )
        )
    found += [
        sr.SourceImageForMeasurementGroup(str(header.SOPClassUID), str(header.SOPInstanceUID))
        for header in source.beside
    ]
    return found


def _reference(result: Dataset) -> ContentItem:
    from highdicom import sr

    return sr.ImageContentItem(
        _private(_OBJECTS[str(result.SOPClassUID)]),
        str(result.SOPClassUID),
        str(result.SOPInstanceUID),
        relationship_type="CONTAINS",
    )


def _evidence(study: Study, results: Mapping[str, Sequence[Dataset]]) -> list[Dataset]:
    """All instances that the report names, once each, sources first."""
    sources = [image.source for image in study.images if image.source is not None]
    named: Iterable[Dataset] = [
        *(header for source in sources for header in (*source.headers, *source.beside)),
        *(result for made in results.values() for result in made),
    ]
    return list({str(header.SOPInstanceUID): header for header in named}.values())


def _observer(author: Author) -> Any:
    from highdicom import sr

    return sr.ObserverContext(
        observer_type=sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=uid_of(MAKER, "device", author.bundle),
            name=author.model,
            manufacturer_name=MAKER,
            model_name=author.model,
            serial_number=author.bundle or None,
        ),
    )


def _algorithm(author: Author) -> Any:
    from highdicom import sr

    return sr.AlgorithmIdentification(
        name=author.model,
        version=author.version,
        manufacturer=MAKER,
        parameters=[f"bundle {author.bundle}"] if author.bundle else None,
    )


def _procedure(source: Source) -> tuple[str, str, str]:
    return _code(_PROCEDURES.get(text(source.headers[0], "Modality"), _OTHER_PROCEDURE))


def _code(told: tuple[str, str, str]) -> tuple[str, str, str]:
    value, meaning, scheme = told
    return value, scheme, meaning


def _private(concept: Concept) -> CodedConcept:
    from highdicom import sr

    return sr.CodedConcept(concept.value, concepts.SCHEME, concept.meaning)


def _comment() -> CodedConcept:
    from highdicom import sr

    return sr.CodedConcept("121106", "DCM", "Comment")


def _text(name: CodedConcept, words: str) -> ContentItem:
    from highdicom import sr

    return sr.TextContentItem(name, words, relationship_type="CONTAINS")
