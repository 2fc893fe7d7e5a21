"""The listing commands of the guides, run as they are shown on small folders in the layouts they name."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.cohorts.manifest import Manifest

DOCS = Path(__file__).resolve().parents[2] / "docs"
SECTIONS = (
    ("researcher.md", "### Labels in a table"),
    ("researcher.md", "### Patients, masks and volumes by their names"),
    ("formats.md", "## NIfTI"),
)


def shown() -> dict[str, list[str]]:
    """The `index` commands below these headings, by the folder that each lists."""
    found = {}
    for page, heading in SECTIONS:
        section = (DOCS / page).read_text(encoding="utf-8").partition(f"\n{heading}\n")[2]
        block = re.search(r"```sh\n(.*?)```", re.split(r"\n#{2,3} ", section)[0], flags=re.DOTALL)
        assert block, heading
        for line in block[1].replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            if words[:2] == ["secondread", "index"]:
                found[words[2]] = words[1:]
    return found


@pytest.fixture
def layouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        *("films/1.png", "films/2.png", "skin/ISIC_1.jpg", "skin/ISIC_2.jpg", "rsna/a.png", "rsna/b.png"),
        *("OCT2017/train/NORMAL/NORMAL-12-1.jpeg", "OCT2017/train/DRUSEN/DRUSEN-9-1.jpeg"),
        *(
            "busi/benign/benign (1).png",
            "busi/benign/benign (1)_mask.png",
            "busi/benign/benign (1)_mask_1.png",
        ),
        *("busi/films/x.png", "busi/masks/x.png"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 12), 1).save(path)
    (tmp_path / "labels.csv").write_text(
        "Image Index,Finding Labels,Patient ID,View Position\n1.png,No Finding,7,PA\n2.png,Mass,8,AP\n"
    )
    (tmp_path / "truth.csv").write_text(
        "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nISIC_1,0.0,1.0,0.0,0.0,0.0,0.0,0.0\n"
        "ISIC_2,1.0,0.0,0.0,0.0,0.0,0.0,0.0\n"
    )
    (tmp_path / "stage_2_train_labels.csv").write_text(
        "patientId,x,y,width,height,Target\na,1,2,3,4,1\nb,,,,,0\n"
    )
    brain = np.zeros((8, 8, 10), np.int16)
    brain[2:6, 2:6, 2:8] = 5
    for name in [f"BraTS2021/p1/p1_{part}" for part in ("t1", "t1ce", "t2", "flair", "seg")] + ["scans/a"]:
        path = tmp_path / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(brain, np.eye(4)), path)
    return tmp_path


def test_the_shown_commands_list_what_the_guides_say(layouts: Path) -> None:
    commands = shown()
    assert set(commands) == {"films", "skin", "rsna", "OCT2017", "busi", "BraTS2021", "scans"}
    told = {}
    for folder, words in commands.items():
        words[words.index("-o") + 1] = f"{folder}.csv"
        result = CliRunner().invoke(app, [*words, "--workers", "0"])
        assert result.exit_code == 0, (words, result.output)
        told[folder] = Manifest.read(layouts / f"{folder}.csv").rows
    for folder in ("films", "skin", "rsna"):
        assert {row.label for row in told[folder]} == {"normal", "abnormal"}, folder
    assert [row.patient_id for row in told["films"]] == ["7", "8"]
    assert [bool(row.mask) for row in told["rsna"]] == [True, False]
    assert {row.patient_id for row in told["OCT2017"]} == {"12", "9"}
    assert [row.mask.count("|") for row in told["busi"]] == [1, 0]
    assert all(row.mask for row in told["busi"])
    [volume] = told["BraTS2021"]
    assert (volume.path.count("|"), volume.mask) == (4, "BraTS2021/p1/p1_seg.nii.gz")
    assert [row.path for row in told["scans"]] == [f"scans/a.nii.gz#slice/axial/{n}" for n in (3, 5)]
