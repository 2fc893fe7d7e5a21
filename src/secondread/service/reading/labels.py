"""What people said of studies becomes a manifest with labels, and their readings a folder, for `evaluate`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from secondread.calibration.calibration import Calibration
from secondread.calibration.description import describe
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import DataError, UserError
from secondread.images.dicom.series import series_key
from secondread.outputs.folders import RECORD, output_folder
from secondread.outputs.run_record import RunRecord
from secondread.outputs.whole import write_whole
from secondread.readings.readings import Readings
from secondread.readings.score_record import RUN
from secondread.readings.studies import STUDIES, read_studies, studies_table
from secondread.readings.table_writer import READINGS, Columns, ReadingsTable
from secondread.service.reading.thresholds import at_rate, calibration_of, rate_in_force
from secondread.service.settings.bundles import BundleSettings
from secondread.service.spool.files import Spool
from secondread.service.store.tables import Instance, Reading, Study, Verdict
from secondread.strict.json_text import read_object


@dataclass(frozen=True)
class Labelled:
    """A study with what people said of it, and the newest reading of it by one bundle.

    abnormal  what most of them said; None where they are divided
    paths     path in the reading's own folder -> the image's place in the spool
    """

    study: str
    patient: str
    abnormal: bool | None
    reading: Reading
    paths: Mapping[str, str]


def labelled(session: Session, bundle: BundleSettings, spool: Spool) -> list[Labelled]:
    """The studies that somebody judged, in the order of their UIDs. Each person's newest verdict counts."""
    votes: dict[int, dict[str, bool]] = {}
    for verdict in session.scalars(select(Verdict).order_by(Verdict.id)):
        votes.setdefault(verdict.study_id, {})[verdict.person] = verdict.abnormal
    found = []
    for study in session.scalars(select(Study).where(Study.id.in_(votes)).order_by(Study.study_uid)).all():
        mine = select(Reading).where(
            Reading.study_id == study.id, Reading.bundle == bundle.name, Reading.shadow.is_(False)
        )
        newest = session.scalars(mine.order_by(Reading.revision.desc(), Reading.id.desc()).limit(1)).first()
        if newest is None:
            continue
        said = list(votes[study.id].values())
        abnormal = None if 2 * sum(said) == len(said) else 2 * sum(said) > len(said)
        patient = hashlib.sha256(f"{study.patient_id}\0patient".encode()).hexdigest()[:20]
        found.append(
            Labelled(
                hashlib.sha256(study.study_uid.encode()).hexdigest()[:20],
                patient if study.patient_id else "",
                abnormal,
                newest,
                dict(_places(session, newest, spool)),
            )
        )
    return found


def manifest_of(studies: Sequence[Labelled]) -> Manifest:
    """A row for each image that was read, of the split test; images of a study have its label. Raises
    UserError where nobody has judged a study."""
    rows = [
        Row(
            path,
            split="test",
            label="" if one.abnormal is None else "abnormal" if one.abnormal else "normal",
            patient_id=one.patient,
            study_id=one.study,
        )
        for one in studies
        for path in one.paths.values()
    ]
    if not rows:
        raise UserError("nobody has judged a study of this bundle yet; people do so on the study's page")
    return Manifest(tuple(rows), Path("/"))


def gather_readings(
    session: Session, studies: Sequence[Labelled], bundle: BundleSettings, spool: Spool, out: Path
) -> int:
    """Write the studies' readings into the folder `out`, as `score` would have of the manifest's images, at
    the threshold in force; how many images. Those by earlier bundles of the same name are left out."""
    newest = max(studies, key=lambda one: one.reading.id, default=None)
    if newest is None:
        raise UserError("nobody has judged a study of this bundle yet; people do so on the study's page")
    digest = newest.reading.bundle_digest
    calibration = at_rate(calibration_of(bundle.bundle), rate_in_force(session, bundle.name))
    kept = [one for one in studies if one.reading.bundle_digest == digest]
    with output_folder(out, "score"):
        record = dict(
            read_object(spool.path_of(newest.reading.folder) / RECORD, DataError, "score it again", RUN)
        )
        record |= {"base": None, "calibration": describe(calibration), "finished": True}
        RunRecord("score", ()).write(out / RECORD, **record)
        for name in (READINGS, "facts.jsonl", STUDIES):
            (out / name).unlink(missing_ok=True)
        return _write(kept, calibration, spool, out, digest)


def _write(kept: Sequence[Labelled], calibration: Calibration, spool: Spool, out: Path, digest: str) -> int:
    read = [(one, Readings.read(spool.path_of(one.reading.folder))) for one in kept]
    rows = [row for _, readings in read for row in readings.rows]
    columns = Columns(
        tuple(dict.fromkeys(name for row in rows for name in row.parts)),
        tuple(dict.fromkeys(name for row in rows for name in row.baselines)),
        without_complexity=any(row.score_without_complexity is not None for row in rows),
        places=any(row.frame is not None for row in rows),
    )
    written = []
    table = ReadingsTable(out, columns, bundle=digest)
    with table:
        for one, readings in read:
            for row in readings.rows:
                if row.path not in one.paths:
                    continue
                flagged = None
                if row.score is not None and calibration.flags_images:
                    flagged = row.score >= calibration.threshold
                moved = replace(row, path=one.paths[row.path], study_id=one.study, flagged=flagged, map=None)
                table.append(moved, readings.acquisition.get(row.path, {}), readings.thumbnails.get(row.path))
                written.append(moved)
        table.finish()
    write_whole(out / STUDIES, studies_table(read_studies(written, calibration)).encode())
    return len(written)


def _places(session: Session, reading: Reading, spool: Spool) -> Iterator[tuple[str, str]]:
    """Where the images of a reading lie, as `score` names them."""
    uids = [image["instance"] for image in reading.images if image.get("instance")]
    wanted = select(Instance).where(
        Instance.study_id == reading.study_id, Instance.sop_instance_uid.in_(uids)
    )
    files = {one.sop_instance_uid: one for one in session.scalars(wanted)}
    for image in reading.images:
        one = files.get(image.get("instance", ""))
        if one is None:
            continue
        path = spool.path_of(one.path).absolute()
        if image["instances"] > 1:
            yield image["path"], f"{path.parent}#{series_key(one.series_uid)}"
        elif image.get("frame") is not None:
            yield image["path"], f"{path}#frame/{image['frame']}"
        else:
            yield image["path"], str(path)
