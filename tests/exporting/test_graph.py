import sys

import numpy as np
import pytest

from secondread.detectors import find
from secondread.errors import UserError
from secondread.exporting.graph import GraphFacts, export_detector
from secondread.exporting.graph_scores import open_graph


def tiny(name: str):
    form = find(name).tiny(2)
    return find(name)(form.settings, form.channels, form.size)


@pytest.fixture
def mean_intensity(tmp_path) -> GraphFacts:
    return export_detector(tiny("mean-intensity"), tmp_path)


def test_facts_say_what_the_graph_takes_and_gives(mean_intensity, tmp_path):
    assert mean_intensity.size == (16, 16)
    assert mean_intensity.parts == {"intensity": "upper"}
    assert mean_intensity.maps == mean_intensity.draws == mean_intensity.remarks == ()
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_a_graph_of_what_torch_scores_in_half_precision_says_so(tmp_path):
    (remark,) = export_detector(tiny("mean-intensity"), tmp_path, precision="bf16").remarks
    assert "bf16" in remark


def test_a_score_that_is_no_graph_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match="'anogan': its score is no graph: it searches a latent code"):
        export_detector(tiny("anogan"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_the_command_that_installs_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"the package onnx.*\[onnx\]"):
        export_detector(tiny("mean-intensity"), tmp_path)


def test_parameters_stay_as_they_were(tmp_path):
    detector = tiny("ae")
    export_detector(detector, tmp_path)
    assert all(parameter.requires_grad for parameter in detector.parameters())


def test_large_constants_lie_in_a_file_of_their_own(monkeypatch, tmp_path):
    monkeypatch.setattr("secondread.exporting.onnx_graph.MOST_IN_ONE_FILE", 1000)
    monkeypatch.setattr("secondread.exporting.onnx_graph.LARGE", 1000)
    detector = tiny("ae")
    facts = export_detector(detector, tmp_path, file="two.onnx")
    assert sorted(facts.files) == sorted(file.name for file in tmp_path.iterdir())
    assert facts.files == ("two.onnx", "two.onnx.data")
    assert len((tmp_path / "two.onnx.data").read_bytes()) > 1000
    monkeypatch.undo()
    export_detector(detector, tmp_path, file="one.onnx")
    given = {"pixels": np.full((1, 1, *facts.size), 0.3, np.float32)}
    given["valid"] = np.ones((1, 1, *facts.size), bool)
    one, two = (open_graph(tmp_path / name).run(None, given) for name in ("one.onnx", "two.onnx"))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
