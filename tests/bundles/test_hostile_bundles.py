"""Bundles that someone made to cost much: each is refused in one line, at once, and for little memory."""

import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from changed_bundles import as_format_1, change_header, edit, replace_file, tensor_file

from secondread.bundles.bundle import Bundle
from secondread.bundles.tensors import write_tensors
from secondread.errors import DataError
from secondread.fitting.fit import fit
from secondread.recipes.recipe import Recipe

MODEL, CALIBRATION, COMPANIONS = (f"{name}.safetensors" for name in ("model", "calibration", "companions"))
SECONDS, MEGABYTES = 1.0, 200


def refused(bundle: Path) -> str:
    """The line with which it is refused; processor time, so that a busy machine does not matter. The first
    in a process may pay for imports."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for last in (False, True):
        began = time.process_time()
        with pytest.raises(DataError) as caught:
            Bundle.load(bundle)
        if time.process_time() - began < SECONDS:
            break
        assert not last, "it took too long twice"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1024
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 600
    return line


EMPTY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
OFFSETS = [
    None, "ab", 7, 1.5, True, {}, [], [0], [0, 1, 2], ["0", "64"], [0.0, 64.0], [False, 64], [[0], [64]],
    [-64, 0], [64, 0], [0, 10**30], [0, -1], [None, None], [{}, {}],
]  # fmt: skip


@pytest.mark.parametrize("offsets", OFFSETS, ids=str)
def test_offsets_of_other_types_or_places_are_refused(copied: Path, offsets) -> None:
    change_header(copied, MODEL, lambda header: header["mean"].update(data_offsets=offsets))
    assert MODEL in refused(copied)


@pytest.mark.parametrize(
    "shape", [None, 8, "8", [8.0], ["8"], [True], [-8], [10**30], [[8]], [1] * 100, {"a": 1}], ids=str
)
def test_shapes_of_other_types_are_refused(copied: Path, shape) -> None:
    change_header(copied, MODEL, lambda header: header["mean"].update(shape=shape))
    assert MODEL in refused(copied)


@pytest.mark.parametrize(
    "kind", ["F128", "", None, 3, ["F32"], "F4", "x" * 1_000_000], ids=lambda v: str(v)[:9]
)
def test_types_that_no_tensor_has_are_refused(copied: Path, kind) -> None:
    change_header(copied, MODEL, lambda header: header["mean"].update(dtype=kind))
    assert MODEL in refused(copied)


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":' * 100_000,
        b'{"a":[' + b"9" * 100_000 + b"]}",
        b'{"a":NaN}',
        b'{"a":1}',
        b'{"a":[1,2]}',
        b'{"a":{"dtype":"F32"}}',
        json.dumps({"a": EMPTY | {"more": 1}}).encode(),
        (json.dumps({"a": EMPTY})[:-1] + "," + json.dumps({"a": EMPTY})[1:]).encode(),
        b'{"\\ud800":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}',
        "{}".encode("utf-16"),
        b'{"a":[' + b"[]," * 5_000_000 + b"[]]}",
        json.dumps(dict.fromkeys(map(str, range(50_000)), EMPTY)).encode(),
        b"{" + b" " * (17 << 20) + b"}",
    ],
    ids=[
        "deep", "digits", "nan", "number", "list", "half", "more", "twice", "surrogate", "utf-16",
        "many lists", "many tensors", "long",
    ],
)  # fmt: skip
def test_headers_of_another_form_are_refused(copied: Path, header: bytes) -> None:
    replace_file(copied, MODEL, tensor_file(header))
    refused(copied)


def detector(**settings) -> Callable:
    return lambda document: document["recipe"].update(detector=settings)


def preprocessing(**settings) -> Callable:
    return lambda document: document["recipe"]["preprocessing"].update(settings)


RECIPES = {
    "10⁹ blocks": detector(name="aeflow", encoder={"name": "conv"}, flow={"blocks": 10**9}),
    "256 blocks": detector(name="aeflow", encoder={"name": "conv"}, flow={"blocks": 256}),
    "200,000 layers": detector(name="aeflow", decoder={"hidden": [4] * 200_000}),
    "huge levels": detector(name="glow-posterior", flow={"levels": 10**9}),
    "deep Glow": detector(name="glow-posterior", second="none", score="likelihood", map="none",
                          flow={"levels": 5, "depth": 256}),
    "wide": detector(name="ae", network={"width": 65_536, "hidden": 65_536, "latent": 65_536}),
    "members": detector(name="ddad", members=64, backbone={"name": "ae"}),
    "words": detector(name="k-means", of="pixels", k=10**9),
    "digits": detector(name="spectrum", bands=10**39),
    "not a number": detector(name="spectrum", bands="x" * 10_000),
    "no such detector": detector(name="y" * 10_000),
    "a list": lambda document: document["recipe"].update(detector=[1]),
    "size": preprocessing(size=[10**9, 10**9]),
    "size product": preprocessing(size=[65_536, 65_536]),
    "size axes": preprocessing(size=[8] * 100_000),
    "steps": preprocessing(steps=[{"window": "header"}] * 5_000),
    "align": preprocessing(steps=[{"align": {"resolution": 10**9}}]),
    "align without its mean": preprocessing(steps=[{"align": {}}]),
    "seed": lambda document: document["recipe"].update(seed=10**39),
    "stage": lambda document: document["recipe"].update(stages={"x" * 70_000: {}}),
    "many stages": lambda document: document["recipe"].update(stages={f"s{i}": {} for i in range(20_000)}),
    "differences": lambda document: document["recipe"]["about"].update(differences=["x" * 60_000] * 100),
}  # fmt: skip


@pytest.mark.parametrize("change", RECIPES.values(), ids=RECIPES)
def test_recipes_that_ask_for_more_than_the_bundle_brings_are_refused(copied: Path, change) -> None:
    edit(copied, change)
    refused(copied)


def calibration(**changes) -> Callable:
    return lambda document: document["calibration"].update(changes)


DOCUMENTS = {
    "sd 0": lambda d: d["calibration"]["mixture"]["parts"]["distance"].update(sd=0),
    "a weight of text": lambda d: d["calibration"]["mixture"]["parts"]["distance"].update(weight="x"),
    "another part": lambda d: d["calibration"]["mixture"]["parts"].update(
        other=d["calibration"]["mixture"]["parts"]["distance"]
    ),
    "a list of parts": lambda d: d["calibration"]["mixture"].update(parts=[]),
    "many patients": calibration(patients=10**30),
    "patients of text": calibration(patients="ten"),
    "fewer patients": calibration(patients=1),
    "studies": calibration(study_patients=3),
    "a line": calibration(line={"slope": 1, "intercept": 0, "mean": 0, "sd": 1}),
    "half a line": calibration(line={"slope": 1}),
    "map parts": calibration(
        maps={"scaled": True, "parts": {"m": {}}, "low": 0, "high": 1, "threshold": None}
    ),
    "rate": lambda d: d["calibration"]["settings"].update(false_alarm_rate=2),
    "companion": lambda d: d["companions"].update({"os": {}}),
    "a companion without calibration": lambda d: d["companions"]["spectrum"].clear(),
    "a companion less": lambda d: d["companions"].pop("spectrum"),
    "parts": lambda d: d.update(parts=["x"] * 1_000),
    "a part with a line break": lambda d: d.update(parts=["a\nb"]),
    "training": lambda d: d["provenance"].update(training={"stages": 3}),
    "an epoch of text": lambda d: d["provenance"].update(
        training={"stages": [{"name": "s", "epochs": [{"epoch": "x"}]}]}
    ),
    "arithmetic": lambda d: d["preprocessing"].update(arithmetic=[1]),
    "bytes": lambda d: d["files"][MODEL].update(bytes=10**30),
    "a shape": lambda d: d["files"][MODEL]["tensors"]["mean"].update(shape=[10**30]),
}
LATER = {
    "a version": lambda d: d.update(written_by="x" * 1_000),
    "a version of escapes": lambda d: d.update(needs="0\x1b[2J"),
    "words": lambda d: d["statements"].update(data="x" * 60_000),
    "figures": lambda d: d.update(figures={"normal": -1, "abnormal": 10**30}),
    "an interval": lambda d: d.update(
        figures={"normal": 1, "abnormal": 1, "auroc": {"interval": [0] * 10_000}}
    ),
    "left out": lambda d: d.update(left_out=["model.safetensors"]),
    "kept": lambda d: d.update(keeps=[{"file": "../x", "tensor": "y", "rows": 1, "kind": "mean"}]),
    "much kept": lambda d: d.update(keeps=d["keeps"] * 10_000),
    "made from": lambda d: d.update(made_from=["ff" * 32] * 1_000),
}
"""What the first format had not."""


@pytest.mark.parametrize("change", [*DOCUMENTS.values(), *LATER.values()], ids=[*DOCUMENTS, *LATER])
def test_documents_that_do_not_fit_together_are_refused(copied: Path, change) -> None:
    edit(copied, change)
    refused(copied)


def test_the_same_is_refused_in_the_first_format(copied: Path) -> None:
    as_format_1(copied)
    Bundle.load(copied)
    untouched = (copied / "bundle.json").read_bytes()
    for change in DOCUMENTS.values():
        edit(copied, change)
        refused(copied)
        (copied / "bundle.json").write_bytes(untouched)


TEXTS = {
    "lists": b"[" + b"[]," * 5_000_000 + b"[]]",
    "objects": b'{"a":' * 200_000,
    "digits": b'{"format":' + b"9" * 1_000_000 + b"}",
    "exponent": b'{"format":1e400}',
    "nan": b'{"format":NaN}',
    "infinity": b'{"format":-Infinity}',
    "twice": b'{"format":1,"format":1}',
    "utf-16": '{"format":1}'.encode("utf-16"),
    "latin-1": b'{"format":"\xe9"}',
    "surrogate": b'{"format":"\\udfff"}',
    "text": b'{"format":"' + b"x" * 15_000_000 + b'"}',
    "empty": b"",
    "null": b"null",
    "zeros": bytes(1_000_000),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_json_that_costs_much_is_refused(copied: Path, text: bytes) -> None:
    (copied / "bundle.json").write_bytes(text)
    assert "bundle.json" in refused(copied)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_lists_of_seen_images_that_cost_much_are_refused(copied: Path, text: bytes) -> None:
    replace_file(copied, "seen.json", text)
    refused(copied)


@pytest.mark.parametrize("images", [[1, 2], ["x" * 100], "abc", {"a": 1}, [None], [["a"]]], ids=str)
def test_seen_images_that_are_no_digests_are_refused(copied: Path, images) -> None:
    seen = {"key": "0" * 32, "images": {"normal": images}, "patients": {}}
    replace_file(copied, "seen.json", json.dumps(seen).encode())
    refused(copied)


@pytest.mark.parametrize("name", ["bundle.json", "seen.json", MODEL])
def test_a_file_of_a_terabyte_is_not_read(copied: Path, name: str) -> None:
    os.truncate(copied / name, 1 << 40)
    if name != "bundle.json":
        edit(copied, lambda document: document["files"][name].update(bytes=1 << 40))
    assert "bundle.json" in refused(copied)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link", "nothing"])
@pytest.mark.parametrize("name", ["bundle.json", "seen.json", MODEL])
def test_what_is_no_plain_file_is_refused(copied: Path, name: str, kind: str) -> None:
    if name == "bundle.json" and kind == "nothing":
        pytest.skip("then it is no bundle, which another test has")
    place = copied / name
    place.rename(copied / "elsewhere")
    match kind:
        case "pipe":
            os.mkfifo(place)
        case "device":
            place.symlink_to("/dev/zero")
        case "folder":
            place.mkdir()
        case "link":
            place.symlink_to("elsewhere")
    assert name in refused(copied)


def rewrite(bundle: Path, name: str, tensors) -> None:
    declared = write_tensors(bundle / name, tensors).model_dump(mode="json")
    edit(bundle, lambda document: document["files"].update({name: declared}))


def test_arrays_that_are_no_calibration_are_refused(copied: Path) -> None:
    scores, weights = np.arange(4.0), np.ones(4)
    for arrays in (
        {"image_scores": scores},
        {"image_scores": scores, "image_weights": weights, "more": scores},
        {"image_scores": scores[::-1].copy(), "image_weights": weights},
        {"image_scores": scores * np.nan, "image_weights": weights},
        {"image_scores": scores, "image_weights": -weights},
        {"image_scores": scores, "image_weights": weights * np.nan},
        {"image_scores": scores.reshape(2, 2), "image_weights": weights.reshape(2, 2)},
        {"image_scores": scores, "image_weights": weights[:2]},
    ):
        rewrite(copied, CALIBRATION, arrays)
        edit(copied, calibration(patients=4))
        refused(copied)


def test_tensors_of_another_model_are_refused(copied: Path) -> None:
    kept = {name: tensor.numpy() for name, tensor in Bundle.load(copied).detector.state_dict().items()}
    for change in (
        {"mean": kept["mean"][:4]},
        {"mean": kept["mean"].astype(np.float64)},
        {"mean": kept["mean"][None]},
        {"extra": kept["mean"]},
        {"whitener": np.zeros((0, 0), np.float32)},
    ):
        rewrite(copied, MODEL, kept | change)
        refused(copied)
    rewrite(copied, MODEL, {"mean": kept["mean"]})
    refused(copied)


def test_a_bank_of_another_width_or_of_nothing_is_refused(copied: Path) -> None:
    companions, tensors = Bundle.load(copied).companions.state()
    name = "pixel-1nn/detector/bank"
    bank = tensors[name].numpy()
    for other in (bank[:0], bank[:, :10], bank.astype(np.int64), bank.reshape(-1)):
        rewrite(copied, COMPANIONS, tensors | {name: other})
        assert "bank" in refused(copied)
    assert set(companions) == {"mean-intensity", "pixel-1nn", "spectrum"}


@pytest.mark.parametrize("value", [10**6, -(10**6)])
def test_indices_that_point_nowhere_are_one_line_at_scoring(value, phantoms, tmp_path) -> None:
    recipe = Recipe.load(
        "padim",
        set=[
            "preprocessing.size=[32,32]",
            "detector.encoder={name: squeezenet1_1, weights: random}",
            "detector.layers=null",
            "detector.dimensions=4",
        ],
    )
    bundle = fit(recipe, phantoms, tmp_path / "bundle", workers=0, device="cpu", progress=False)
    bundle.detector.chosen.fill_(value)
    bundle.save(tmp_path / "forged")
    with pytest.raises(DataError, match="its detector cannot score") as told:
        Bundle.load(tmp_path / "forged").judge(np.zeros((1, 1, 32, 32), np.float32))
    assert "\n" not in str(told.value)
