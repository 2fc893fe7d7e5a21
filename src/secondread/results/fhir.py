"""What was read of a study in FHIR R4: a Bundle of type collection with one DiagnosticReport, one Observation
for each image and each study, and the Device that read.

The report is `preliminary`: no person has looked at it. Images and studies are named by their DICOM UIDs
(system `urn:dicom:uid`); images of other formats by their content's digest and the path that the readings
have. The subject is named by the PatientID of a DICOM source alone. The same readings give the same bytes.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from secondread.images.dicom.dataset import text
from secondread.readings.reading import Reading
from secondread.readings.score_record import ScoreRecord
from secondread.results import concepts
from secondread.results.concepts import Concept
from secondread.results.dicom.identity import MAKER, RESEARCH_USE, Author, uid_of
from secondread.results.dicom.studies import ImageRead, Study, called, image_key
from secondread.results.promise import NOT_JUDGED, Level, Promise
from secondread.wording.numbers import count

Json = dict[str, Any]
SYSTEM = f"urn:oid:{concepts.SCHEME_UID}"
"""Of the codes of `concepts` and of digests."""
_DICOM, _UCUM = "urn:dicom:uid", "http://unitsofmeasure.org"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"


def fhir_bundle(study: Study, run: ScoreRecord, author: Author) -> Json:
    """The resources of one study, or of one image that belongs to none."""
    key = [study.uid or study.images[0].reading.path]
    device = _resource(_device(author), uid_of(MAKER, "device", author.bundle))
    told = _Told(study, run, author, device["id"])
    observations = [told.of_image(image) for image in study.images]
    observations += [told.of_study(reading) for reading in study.studies]
    report = _resource(told.report(observations), author.uid("fhir report", *key))
    name = author.uid("fhir", *key)
    return {
        "resourceType": "Bundle",
        "id": _uuid(name),
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{name}"},
        "type": "collection",
        "timestamp": author.made.isoformat(timespec="seconds"),
        "entry": [
            {"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource}
            for resource in (report, *observations, device)
        ],
    }


def as_bytes(bundle: Json) -> bytes:
    return (json.dumps(bundle, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


class _Told:
    """The resources of one study."""

    def __init__(self, study: Study, run: ScoreRecord, author: Author, device: str) -> None:
        self.study, self.run, self.author = study, run, author
        self.device = {"reference": f"urn:uuid:{device}"}
        sources = [image.source for image in study.images if image.source is not None]
        self.patient = text(sources[0].headers[0], "PatientID") if sources else ""

    def report(self, observations: list[Json]) -> Json:
        report: Json = {
            "resourceType": "DiagnosticReport",
            "status": "preliminary",
            "category": [{"coding": [{"system": f"{_TERMINOLOGY}/v2-0074", "code": "IMG"}]}],
            "code": {
                "coding": [
                    {"system": "http://loinc.org", "code": "18748-4", "display": "Diagnostic imaging study"}
                ]
            },
            **self._subject(),
            "issued": self.author.made.isoformat(timespec="seconds"),
            "result": [{"reference": f"urn:uuid:{one['id']}"} for one in observations],
        }
        if self.study.uid:
            report["imagingStudy"] = [self._imaging_study()]
        report["conclusion"] = self._conclusion()
        return report

    def of_image(self, image: ImageRead) -> Json:
        key = [image.reading.path] if image.source is None else image_key(image.source)
        found = self._observation(image.reading, "images", concepts.SCORE)
        found["focus"] = [_focus(image)]
        return _resource(found, self.author.uid("fhir observation", self.study.uid, *key))

    def of_study(self, reading: Reading) -> Json:
        found = self._observation(reading, "studies", concepts.STUDY_SCORE)
        return _resource(found, self.author.uid("fhir study", self.study.uid, reading.path))

    def _observation(self, reading: Reading, level: Level, concept: Concept) -> Json:
        promise = Promise.of(self.run, level)
        found: Json = {
            "resourceType": "Observation",
            "status": "preliminary",
            "category": [{"coding": [{"system": f"{_TERMINOLOGY}/observation-category", "code": "imaging"}]}],
            "code": _coded(concept),
            **self._subject(),
            "issued": self.author.made.isoformat(timespec="seconds"),
            "device": self.device,
        }
        if self.study.uid:
            found["derivedFrom"] = [self._imaging_study()]
        notes = [*reading.remarks, f"{RESEARCH_USE}."]
        if reading.score is None:
            found["dataAbsentReason"] = {
                "coding": [{"system": f"{_TERMINOLOGY}/data-absent-reason", "code": "error"}],
                "text": reading.error,
            }
        else:
            found["valueQuantity"] = _quantity(reading.score)
            found["interpretation"] = [_interpretation(reading)]
            if promise.words:
                limit = {} if promise.threshold is None else {"high": _quantity(promise.threshold)}
                found["referenceRange"] = [{**limit, "text": promise.words}]
            components = [
                {"code": _coded(name), "valueQuantity": _quantity(value)}
                for name, value in _components(reading, promise)
                if value is not None
            ]
            found |= {"component": components} if components else {}
        found["note"] = [{"text": note} for note in notes]
        return found

    def _subject(self) -> Json:
        if not self.patient:
            return {}
        return {"subject": {"type": "Patient", "identifier": {"value": self.patient}}}

    def _imaging_study(self) -> Json:
        return {"type": "ImagingStudy", "identifier": _named(self.study.uid)}

    def _conclusion(self) -> str:
        rows = [image.reading for image in self.study.images]
        flags = [row.flagged for row in rows if row.flagged is not None]
        flagged = f"{sum(flags)} flagged" if flags else "none judged"
        failed = sum(row.failed for row in rows)
        unread = f", {failed} not read" if failed else ""
        return f"{count(len(rows), 'image')}, {flagged}{unread}. {RESEARCH_USE}."


def _components(reading: Reading, promise: Promise) -> list[tuple[Concept, float | None]]:
    return [
        (concepts.P_VALUE, reading.p_value),
        (concepts.THRESHOLD, promise.threshold),
        (concepts.FALSE_ALARM_RATE, promise.false_alarm_rate),
        (concepts.RATE_LOW, promise.low),
        (concepts.RATE_HIGH, promise.high),
        (concepts.NORMALS, promise.normals),
        (concepts.PATIENTS, promise.patients),
    ]


def _device(author: Author) -> Json:
    told: Json = {"resourceType": "Device", "status": "active", "manufacturer": MAKER}
    if author.bundle:
        told["identifier"] = [{"system": SYSTEM, "value": author.bundle}]
    told["deviceName"] = [{"name": author.model, "type": "model-name"}]
    told["version"] = [{"value": f"{MAKER} {author.version}"}]
    told["note"] = [{"text": f"{RESEARCH_USE}."}]
    return told


def _focus(image: ImageRead) -> Json:
    """The instance that was read, or the series of several; of another format its digest and path."""
    if image.source is None:
        digest = {"identifier": {"system": SYSTEM, "value": image.reading.digest}}
        return {**(digest if image.reading.digest else {}), "display": image.reading.path}
    header = image.source.headers[0]
    one = len(image.source.headers) == 1
    named = _named(str(header.SOPInstanceUID if one else header.SeriesInstanceUID))
    return {"identifier": named, "display": called(image)}


def _interpretation(reading: Reading) -> Json:
    """Abnormal where it is flagged; a reading that is not flagged is not called normal."""
    if reading.flagged is None:
        return {"coding": [_coding(concepts.NOT_JUDGED)], "text": NOT_JUDGED}
    if not reading.flagged:
        return {"text": "not flagged, which does not mean that it is normal"}
    system = f"{_TERMINOLOGY}/v3-ObservationInterpretation"
    return {"coding": [{"system": system, "code": "A", "display": "Abnormal"}], "text": "flagged"}


def _named(uid: str) -> Json:
    return {"system": _DICOM, "value": f"urn:oid:{uid}"}


def _quantity(value: float) -> Json:
    return {"value": value, "system": _UCUM, "code": "1"}


def _coded(concept: Concept) -> Json:
    return {"coding": [_coding(concept)]}


def _coding(concept: Concept) -> Json:
    return {"system": SYSTEM, "code": concept.value, "display": concept.meaning}


def _uuid(uid: str) -> str:
    """The UUID behind a UID of `uid_of`."""
    return str(uuid.UUID(int=int(uid.rpartition(".")[2])))


def _resource(resource: Json, uid: str) -> Json:
    return {"resourceType": resource.pop("resourceType"), "id": _uuid(uid), **resource}
