"""The answer to a Store transaction (PS3.18, 10.5.3 and annex I): what is kept, what is not and why."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

from secondread.service.intake.receive import OUT_OF_RESOURCES, SUCCESS, Received

JSON, XML = "application/dicom+json", "application/dicom+xml"
NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
FAILED, REFERENCED, OTHER = (
    ("00081198", "FailedSOPSequence"),
    ("00081199", "ReferencedSOPSequence"),
    ("0008119A", "OtherFailuresSequence"),
)
CLASS, INSTANCE, REASON, RETRIEVE = (
    ("00081150", "UI", "ReferencedSOPClassUID"),
    ("00081155", "UI", "ReferencedSOPInstanceUID"),
    ("00081197", "US", "FailureReason"),
    ("00081190", "UR", "RetrieveURL"),
)
Item = list[tuple[tuple[str, str, str], str | int | None]]


def status_of(received: list[Received]) -> int:
    """200 where all is kept, 202 where some is; of what is refused altogether 503 where there was no room
    for any of it, else 409."""
    kept = sum(one.status == SUCCESS for one in received)
    if received and kept == len(received):
        return 200
    if kept:
        return 202
    return 503 if received and all(one.status == OUT_OF_RESOURCES for one in received) else 409


def media_type_of(accept: str) -> str | None:
    """JSON unless XML alone, or before it, is asked for; None where neither is taken."""
    wanted = [one.partition(";")[0].strip().lower() for one in accept.split(",") if one.strip()]
    for one in wanted:
        if one in (JSON, "application/json", "*/*", "application/*"):
            return JSON
        if one in (XML, "application/xml", "text/xml"):
            return XML
    return None if wanted else JSON


def written(received: list[Received], media_type: str) -> bytes:
    sequences: dict[tuple[str, str], list[Item]] = {}
    for one in received:
        names: Item = []
        if one.told is not None:
            names = [(CLASS, one.told.sop_class_uid), (INSTANCE, one.told.sop_instance_uid)]
        if one.status == SUCCESS:
            sequences.setdefault(REFERENCED, []).append([*names, (RETRIEVE, None)])
        else:
            of = FAILED if names else OTHER
            sequences.setdefault(of, []).append([*names, (REASON, one.status)])
    return _xml(sequences) if media_type == XML else _json(sequences)


def _json(sequences: dict[tuple[str, str], list[Item]]) -> bytes:
    def element(vr: str, value: str | int | None) -> dict[str, Any]:
        return {"vr": vr} if value is None else {"vr": vr, "Value": [value]}

    made: dict[str, Any] = {"00081190": {"vr": "UR"}}
    for (tag, _), items in sequences.items():
        value = [{one: element(vr, given) for (one, vr, _), given in item} for item in items]
        made[tag] = {"vr": "SQ", "Value": value}
    return json.dumps(made).encode()


def _xml(sequences: dict[tuple[str, str], list[Item]]) -> bytes:
    root = ElementTree.Element("NativeDicomModel", {"xmlns": NAMESPACE})

    def attribute(parent: ElementTree.Element, tag: str, vr: str, keyword: str) -> ElementTree.Element:
        return ElementTree.SubElement(parent, "DicomAttribute", {"tag": tag, "vr": vr, "keyword": keyword})

    attribute(root, *RETRIEVE)
    for (tag, keyword), items in sequences.items():
        sequence = attribute(root, tag, "SQ", keyword)
        for number, item in enumerate(items, 1):
            made = ElementTree.SubElement(sequence, "Item", {"number": str(number)})
            for named, value in item:
                one = attribute(made, *named)
                if value is not None:
                    ElementTree.SubElement(one, "Value", {"number": "1"}).text = str(value)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
