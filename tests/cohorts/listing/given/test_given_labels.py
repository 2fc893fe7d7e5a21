"""Labels in a table beside the images, as `index --labels` takes them, in the forms of public sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cohorts.dicom_files import write_dicom
from secondread.cli.main import app
from secondread.cohorts.listing.identities import keyed_hash, read_key
from secondread.cohorts.manifest import Manifest


def films(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = folder / "films" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 10), 40 + number, np.uint8)).save(path)
    return folder / "films"


def indexed(folder: Path, table: str, *options: object, code: int = 0) -> tuple[list[tuple[str, ...]], str]:
    """Path, label, finding of each row, and what was said."""
    (folder / "labels.csv").write_text(table)
    arguments = (
        "index",
        folder / "films",
        "-o",
        folder / "m.csv",
        "--labels",
        folder / "labels.csv",
        *options,
    )
    result = CliRunner().invoke(app, [*map(str, arguments), "--workers", "0", "--force"])
    assert result.exit_code == code, (result.output, result.exception)
    if code:
        return [], result.output
    rows = Manifest.read(folder / "m.csv").rows
    return [(row.path.removeprefix("films/"), row.label, row.finding) for row in rows], result.output


def test_words_as_in_chest_xray14(tmp_path: Path) -> None:
    films(tmp_path, "images_001/1.png", "images_002/2.png", "images_002/3.png", "images_002/9.png")
    rows, said = indexed(
        tmp_path,
        "Image Index,Finding Labels,Patient ID,View Position\n"
        "1.png,No Finding,7,PA\n2.png,Edema|Mass,7,AP\n3.png,,8,PA\n4.png,Mass,9,PA\n",
        *("--label-column", "finding labels", "--normal", "no finding", "--patient-column", "Patient ID"),
        *("--keep", "View Position"),
    )
    assert rows == [
        ("images_001/1.png", "normal", ""),
        ("images_002/2.png", "abnormal", "Edema; Mass"),
        ("images_002/3.png", "", ""),
        ("images_002/9.png", "", ""),
    ]
    assert [(row.patient_id, row.extra["View Position"]) for row in Manifest.read(tmp_path / "m.csv")] == [
        *(("7", "PA"), ("7", "AP"), ("8", "PA"), ("", "")),
    ]
    for line in (
        "column Image Index names the image",
        "values of column Finding Labels are findings: Mass (2), Edema (1)",
        "has rows of 3 images in",
        "names 1 image that",
        "has no row of 1 image in",
        "1 image without a sure label, unlabelled: 3.png",
    ):
        assert line in said, line


def test_one_column_for_each_finding_as_in_isic(tmp_path: Path) -> None:
    films(tmp_path, "ISIC_1.jpg", "ISIC_2.jpg")
    rows, said = indexed(
        tmp_path, "image,MEL,NV\nISIC_1,1.0,0.0\nISIC_2,0.0,1.0\n", "--label-columns", "*", "--normal", "NV"
    )
    assert rows == [("ISIC_1.jpg", "abnormal", "MEL"), ("ISIC_2.jpg", "normal", "")]
    assert "found by file name without its extension" in said


def test_boxes_become_masks_on_the_grid_of_their_image(tmp_path: Path) -> None:
    films(tmp_path, "a.png", "b.png")
    rows, said = indexed(
        tmp_path,
        "patientId,x,y,width,height,Target\na,2,1,3,2,1\na,6,5,1,1,1\nb,,,,,0\n",
        *("--label-column", "Target", "--normal", "0"),
    )
    assert rows == [("a.png", "abnormal", ""), ("b.png", "normal", "")]
    assert "columns x, y, width, height are boxes" in said
    assert "1 image with boxes: masks in" in said
    manifest = Manifest.read(tmp_path / "m.csv")
    assert [row.mask for row in manifest] == ["m.masks/a.png", ""]
    from secondread.cohorts.checking.check import check

    assert [finding.kind for finding in check(manifest, workers=0) if finding.kind == "mask"] == []
    assert np.asarray(Image.open(tmp_path / "m.masks" / "a.png")).astype(bool).sum() == 7
    again, _ = indexed(
        tmp_path, "i,x,y,width,height,l\na,2,1,3,2,1\nb,,,,,0\n", *("--path-column", "i"),
        *("--label-column", "l", "--normal", "0", "--no-boxes"),
    )  # fmt: skip
    assert again == rows
    assert [row.mask for row in Manifest.read(tmp_path / "m.csv")] == ["", ""]


def test_the_table_and_not_the_folder_says_the_label_but_the_folder_the_split(tmp_path: Path) -> None:
    films(tmp_path, "train/normal/a.png", "test/normal/b.png")
    rows, _ = indexed(tmp_path, "path,l\na.png,sick\nb.png,well\n", "--label-column", "l", "--normal", "well")
    assert rows == [("test/normal/b.png", "normal", ""), ("train/normal/a.png", "abnormal", "sick")]
    assert [row.split for row in Manifest.read(tmp_path / "m.csv")] == ["test", "train"]
    indexed(
        tmp_path, "path,l,s\na.png,sick,val\nb.png,well,train\n", "--label-column", "l", "--normal", "well",
        "--split-column", "s",
    )  # fmt: skip
    assert [row.split for row in Manifest.read(tmp_path / "m.csv")] == ["train", "validation"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--label-column", "l"), "which value of column l means normal? say it with --normal; it holds"),
        (("--label-column", "lable", "--normal", "x"), "no column 'lable'"),
        (("--label-column", "l", "--normal", "x", "--path-column", "q"), "no column 'q' (--path-column)"),
        (("--label-column", "l", "--normal", "x", "--box-columns", "l,i"), "a box needs four columns"),
    ],
)
def test_what_the_table_does_not_have_is_one_line_before_any_image_is_read(
    tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    films(tmp_path, "a.png")
    _, said = indexed(tmp_path, "id,l\na,x\n", *options, code=2)
    assert told in said
    assert len([line for line in said.splitlines() if line.startswith("secondread: ")]) == 1


def test_options_of_a_table_without_a_table_are_refused(tmp_path: Path) -> None:
    films(tmp_path, "a.png")
    arguments = ["index", str(tmp_path / "films"), "-o", str(tmp_path / "m.csv"), "--normal", "0"]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, "--normal is about a table of labels" in result.output) == (2, True)


def test_patients_of_a_table_are_hashed_where_those_of_headers_are(tmp_path: Path) -> None:
    """So a patient whose id stands in both is one, and the manifest names nobody."""
    write_dicom(tmp_path / "films" / "a.dcm", Modality="CR", PatientID="MRN-1")
    write_dicom(tmp_path / "films" / "b.dcm", Modality="CR", PatientID="MRN-9")
    table = "path,l,who\na.dcm,x,MRN-1\nb.dcm,y,MRN-1\n"
    options = ("--label-column", "l", "--normal", "x", "--patient-column", "who")
    indexed(tmp_path, table, *options)
    first, second = Manifest.read(tmp_path / "m.csv").rows
    assert first.patient_id == second.patient_id != "MRN-1"
    key = tmp_path / "m.csv.key"
    assert first.patient_id == keyed_hash(read_key(key), "patient", "MRN-1")
    indexed(tmp_path, table, *options, "--keep-ids")
    assert {row.patient_id for row in Manifest.read(tmp_path / "m.csv")} == {"MRN-1"}


def test_masks_and_tables_in_the_folder_itself_are_no_images(tmp_path: Path) -> None:
    folder = films(tmp_path, "a.png", "b.png")
    (folder / "labels.parquet").write_bytes(b"PAR1")
    (folder / "l.csv").write_text("path,x,y,width,height,t\na.png,2,1,3,2,1\nb.png,,,,,0\n")
    given = ("--labels", folder / "l.csv", "--label-column", "t", "--normal", "0", "--workers", "0")
    for output in ("m.csv", "n.csv"):
        result = CliRunner().invoke(app, [*map(str, ("index", folder, "-o", folder / output, *given))])
        assert result.exit_code == 0, result.output
        rows = Manifest.read(folder / output).rows
        assert [(row.path, row.mask) for row in rows] == [
            ("a.png", f"{output[0]}.masks/a.png"),
            ("b.png", ""),
        ]


def test_what_a_table_cannot_label_is_one_line(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("path,l\na,x\n")
    result = CliRunner().invoke(app, ["index", str(table), "-o", str(tmp_path / "m.csv")])
    assert result.exit_code == 2
    assert "a table, and index lists images: give the folder of the images, and the table with --labels" in (
        " ".join(result.output.split())
    )
    (tmp_path / "films").mkdir()
    np.savez(tmp_path / "films" / "set.npz", train_images=np.zeros((2, 8, 8), np.uint8))
    _, said = indexed(tmp_path, "path,l\na,x\n", "--label-column", "l", "--normal", "x", code=2)
    assert "an archive (npz) brings its own labels" in said
