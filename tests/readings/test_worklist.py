"""From a DICOM folder to ranked studies under the numbers of the archive, and nowhere else a number of it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cohorts.dicom_files import write_dicom
from secondread import tables
from secondread.bundles.bundle import Bundle
from secondread.cli.main import app
from secondread.errors import UserError
from secondread.readings.score_into import score_into
from secondread.readings.worklist import worklist

SECRETS = ("MRN-", "ACC-", "9.8.7")


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def film(folder: Path, study: int, **fields: object) -> None:
    write_dicom(
        folder / f"{study}.dcm",
        **{
            "Modality": "DX",
            "seed": study,
            "StudyInstanceUID": f"9.8.7.{study}",
            "PatientID": f"MRN-{study}",
            "AccessionNumber": f"ACC-{study}",
            **fields,
        },
    )


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for study in (1, 2, 3):
        film(tmp_path / "films", study)
    (tmp_path / "films" / "broken.dcm").write_bytes(b"no image")
    return tmp_path / "films"


def rows_of(path: Path) -> list[dict[str, str]]:
    header, *rows = tables.read_text(path.read_text())
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_a_reading_leads_back_to_its_study_and_only_by_the_map(
    fitted: Bundle, films: Path, tmp_path: Path
) -> None:
    out, key_map, listed = tmp_path / "out", tmp_path / "private" / "map.csv", tmp_path / "list.csv"
    log = ("--log-file", tmp_path / "log.jsonl", "--workers", 0)
    told = run("score", fitted.path, films, "-o", out, "--key-map", key_map, *log, code=1)
    film(films, 4, AccessionNumber=None)
    again = run("score", fitted.path, films, "-o", out, "--key-map", key_map, *log, code=1)
    assert "note: 1 of 4 studies in the key map have no accession number" in again
    assert [study["accession_number"] for study in rows_of(key_map)] == ["ACC-1", "ACC-2", "ACC-3", ""]
    shown = told + again + run("worklist", out, "--key-map", key_map, "-o", listed)
    studies, found = rows_of(out / "studies.csv"), rows_of(listed)
    assert [row["rank"] for row in found] == ["1", "2", "3", "4"]
    assert [float(row["score"]) for row in found] == sorted(
        (float(r["score"]) for r in studies), reverse=True
    )
    for row in found:
        number = Path(row["worst_image"]).stem
        assert row["study_instance_uid"] == f"9.8.7.{number}"
        assert row["accession_number"] == (f"ACC-{number}" if number != "4" else "")
    assert {path.stat().st_mode & 0o777 for path in (key_map, listed)} == {0o600}
    for file in (*out.rglob("*"), tmp_path / "log.jsonl", tmp_path / "list.csv.run.json"):
        if file.is_file():
            assert not [secret for secret in SECRETS if secret.encode() in file.read_bytes()], file
    assert not [secret for secret in SECRETS if secret in shown]


def test_index_writes_the_map_and_a_manifest_scored_later_is_led_back(
    fitted: Bundle, films: Path, tmp_path: Path
) -> None:
    manifest, key_map, out = tmp_path / "m.csv", tmp_path / "map.csv", tmp_path / "out"
    run("index", films, "-o", manifest, "--key-map", key_map, "--workers", 0, code=1)
    assert not [secret for secret in SECRETS if secret in manifest.read_text()]
    with pytest.raises(UserError, match=r"`index --key-map`"):
        score_into(fitted, manifest, out, workers=0, key_map=tmp_path / "other.csv")
    assert not (tmp_path / "other.csv").exists()
    score_into(fitted, manifest, out, workers=0)
    assert worklist(out, key_map).studies == 3
    with pytest.raises(UserError, match="lies in"):
        score_into(fitted, films, tmp_path / "new", workers=0, key_map=tmp_path / "new" / "map.csv")
    with pytest.raises(UserError, match="another key"):
        score_into(fitted, films, tmp_path / "new", workers=0, key_map=key_map)
    assert not (tmp_path / "new").exists()
    score_into(fitted, films, tmp_path / "new", workers=0, key_map=tmp_path / "new.csv")
    with pytest.raises(UserError, match="was made under another key"):
        worklist(tmp_path / "new", key_map)
    text = key_map.read_text().splitlines(keepends=True)
    key_map.write_text("".join(text[:-1]))
    assert worklist(out, key_map).notes == ("1 study of 3 are not in the key map",)
    key_map.write_text(text[0])
    with pytest.raises(UserError, match="knows none of the 3 studies"):
        worklist(out, key_map)


def test_a_table_of_before_ranks_makes_a_list_too(fitted: Bundle, films: Path, tmp_path: Path) -> None:
    out, key_map = tmp_path / "out", tmp_path / "map.csv"
    score_into(fitted, films, out, workers=0, key_map=key_map)
    new = list(worklist(out, key_map).lines)
    columns = ("study_id", "score", "p_value", "flagged", "images", "failed", "worst_image")
    rows = [[row[name] for name in columns] for row in reversed(rows_of(out / "studies.csv"))]
    (out / "studies.csv").write_text(tables.table([columns, *rows]))
    assert list(worklist(out, key_map).lines) == new
    (out / "studies.csv").unlink()
    with pytest.raises(UserError, match=r"holds no studies\.csv"):
        worklist(out, key_map)
