import pytest

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import UserError


def written(folder, text):
    path = folder / "features.csv"
    path.write_text(text)
    return path


def test_lines_of_a_table_of_vectors_are_rows_that_name_themselves(tmp_path):
    text = "Label,f1,site,patient_id,f2\nnormal,0.5,A,7,1\nabnormal,-1,B,8,2\n"
    manifest = Manifest.read(written(tmp_path, text))
    assert manifest.rows == (
        Row("features.csv#row/0", label="normal", patient_id="7", extra={"site": "A"}),
        Row("features.csv#row/1", label="abnormal", patient_id="8", extra={"site": "B"}),
    )


def test_numbers_beside_paths_stay_columns(tmp_path):
    manifest = Manifest.read(written(tmp_path, "path,age\na.png,50\nb.png,60\n"))
    assert [row.value("age") for row in manifest] == ["50", "60"]


def test_a_split_written_elsewhere_still_leads_to_the_vectors(tmp_path):
    from secondread.images.read import read_image

    manifest = Manifest.read(written(tmp_path, "f1,f2\n1,2\n3,4\n"))
    (tmp_path / "below").mkdir()
    moved = Manifest.read(manifest.write(tmp_path / "below" / "split.csv"))
    assert read_image(moved.reference(moved.rows[1])).pixels.tolist() == [[[3.0, 4.0]]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("site,view\nA,PA\n", "no column path among site, view"),
        ("f1,label\n1,sick\n", "line 2, column label: 'sick'"),
        ("f1,label\n1,normal\n2\n", "line 3: 1 cells"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        Manifest.read(written(tmp_path, text))
