from cohorts.dicom_files import write_dicom
from secondread.cohorts.checking.check import check
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.remarks import remarked
from secondread.cohorts.row import Row


def test_remarks_are_gathered_by_kind_whatever_their_numbers():
    found = remarked(
        [
            ("a", ["tilted gantry: 1.5°"]),
            ("b", ["tilted gantry: 18.2°", "slices missing inside: 1 slice"]),
            ("c", ["tilted gantry: 3°"]),
            ("d", []),
        ]
    )
    assert [(one.kind, one.paths, one.serious) for one in found] == [
        ("slices missing inside", ("b",), True),
        ("tilted gantry", ("a", "b", "c"), False),
    ]
    assert found[1].example == "tilted gantry: 1.5°"


def test_what_readers_remark_stands_in_a_check(tmp_path):
    for number, height in enumerate((0, 1, 2, 4)):
        write_dicom(
            tmp_path / "ct" / f"{number}.dcm",
            seed=number,
            ImagePositionPatient=[0, 0, height],
            LossyImageCompression="01",
        )
    findings = check(Manifest((Row("ct", patient_id="a"),), tmp_path), workers=0)
    told = {(finding.severity, finding.kind, finding.line.partition(": ")[2]) for finding in findings}
    assert ("note", "remark", "compressed with loss (LossyImageCompression)") in told
    assert any(
        line.startswith("slices missing inside: 1 slice") for kind, _, line in told if kind == "warning"
    )
