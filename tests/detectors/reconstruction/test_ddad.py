import copy

import pytest
import torch
from in_memory import blobs, fit, score, train_on
from pydantic import ValidationError

from secondread.detectors.contract import Batch
from secondread.detectors.detector_settings import OptimiserSettings, StageSettings
from secondread.detectors.reconstruction.ddad import DDAD, DDADSettings
from secondread.errors import UserError
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe
from secondread.training.apart.order import Order

SIZE = (32, 32)


def small(backbone="aeu", channels=1, **changes):
    network = {"width": 4, "hidden": 16, "latent": 8}
    values = {"backbone": {"name": backbone, "network": network}, "refiner": {"width": 8}, **changes}
    return DDAD(DDADSettings.model_validate(values), channels, SIZE)


def generator():
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("backbone", ["ae", "memae", "aeu"])
def test_the_maps_are_the_papers(backbone):
    detector = small(backbone).eval()
    images = blobs(3, SIZE)
    x = 2 * images - 1
    maps, _ = detector.discrepancies(x)
    with torch.no_grad():
        normal = [member(x) for member in detector.normal.members]
        mixed = [member(x) for member in detector.mixed.members]
    if backbone == "memae":
        normal, mixed = [output[0] for output in normal], [output[0] for output in mixed]
    variance = torch.ones(())
    if backbone == "aeu":
        variance = sum(output[:, 1:].exp() for output in normal) / 3
        normal, mixed = [output[:, :1] for output in normal], [output[:, :1] for output in mixed]
    b, a = torch.stack(normal), torch.stack(mixed)
    torch.testing.assert_close(maps["rec"], (x - b.mean(0)) ** 2 / variance)
    torch.testing.assert_close(maps["intra"], (b.var(0) / variance).sqrt(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(maps["inter"], ((a.mean(0) - b.mean(0)) ** 2 / variance).sqrt())


def test_parts_are_means_of_maps_over_the_valid_area():
    detector = small().eval()
    images, valid = blobs(2, SIZE), torch.ones(2, 1, *SIZE, dtype=torch.bool)
    valid[..., :8] = False
    parts = score(detector, images, valid).parts
    assert set(parts) == {"rec", "intra", "inter", "r_intra", "r_dual", "single"}
    maps, outputs = detector.discrepancies(2 * images - 1)
    for name, values in maps.items():
        torch.testing.assert_close(parts[name].values, values[..., 8:].mean(dim=(1, 2, 3)))
    with torch.no_grad():
        logits = detector.refiners["r_dual"](torch.cat((maps["inter"], maps["intra"]), dim=1))
    abnormal = logits.softmax(dim=1)[:, 1:]
    torch.testing.assert_close(parts["r_dual"].values, abnormal[..., 8:].mean(dim=(1, 2, 3)))
    m, v = outputs[0].chunk(2, dim=1)
    single = (-v).exp() * (2 * images - 1 - m) ** 2
    torch.testing.assert_close(parts["single"].values, single[..., 8:].mean(dim=(1, 2, 3)))


@pytest.mark.parametrize("chosen", ["rec", "intra", "inter", "r_intra", "r_dual"])
def test_the_map_is_that_of_the_score(chosen):
    detector = small(score=chosen).eval()
    found = score(detector, blobs(2, SIZE))
    assert set(found.maps) == set(detector.mixture().weights) == set(detector.map_mixture().weights)
    torch.testing.assert_close(found.maps[chosen].mean(dim=(1, 2, 3)), found.parts[chosen].values)


def test_several_channels_give_one_map():
    found = score(small(channels=3).eval(), blobs(2, SIZE, channels=3))
    assert found.maps["r_dual"].shape == (2, 1, *SIZE)


def test_all_networks_differ_at_the_start():
    detector = small()
    first = [m.encoder[0].weight for e in (detector.normal, detector.mixed) for m in e.members]
    assert len(first) == 6
    assert all(not torch.equal(first[i], first[j]) for i in range(6) for j in range(i))


def test_each_network_of_an_ensemble_is_a_stage_of_its_own_and_the_ensembles_share_sections():
    stages = {stage.name: stage for stage in small(members=2).stages()}
    networks = ["normal-1", "normal-2", "mixture-1", "mixture-2"]
    assert list(stages) == [*networks, "discrepancies", "refine-r_intra", "refine-r_dual"]
    assert [stages[name].section for name in networks] == ["normal", "normal", "mixture", "mixture"]
    order = Order.of(list(stages.values()))
    assert set(order.beside["normal-1"]) == set(networks[1:])
    assert order.beside["discrepancies"] == []
    assert order.beside["refine-r_intra"] == ["refine-r_dual"]


def test_the_loss_of_a_network_is_its_backbones():
    detector = small(members=2)
    batch, network = Batch(blobs(4, SIZE)), detector.normal.members[1]
    found = detector.reconstruction_loss(network, ("normal",), {"normal": batch}, generator())
    x = 2 * batch.images - 1
    for name, value in detector.kind.terms(detector.settings.backbone, network(x), x, None).items():
        torch.testing.assert_close(found[name], value)


def test_unlabelled_images_never_reach_the_networks_of_normals():
    normal, one, other = blobs(8, SIZE), blobs(8, SIZE, seed=1), blobs(8, SIZE, seed=2, lesion=True)
    fitted = []
    for unlabelled in (one, other):
        torch.manual_seed(0)
        detector = small()
        fit(detector, normal, steps=2, unlabelled=unlabelled)
        fitted.append(detector)
    a, b = (detector.normal.state_dict() for detector in fitted)
    assert all(torch.equal(a[name], b[name]) for name in a)
    a, b = (detector.mixed.state_dict() for detector in fitted)
    assert any(not torch.equal(a[name], b[name]) for name in a)


def test_the_second_ensemble_learns_both_cohorts_at_once_and_does_with_either():
    detector = small()
    normal, unlabelled = Batch(blobs(4, SIZE)), Batch(blobs(4, SIZE, seed=1))
    together = Batch(torch.cat((normal.images, unlabelled.images)))

    def loss(batches):
        network = detector.mixed.members[0]
        found = detector.reconstruction_loss(network, ("normal", "unlabelled"), batches, generator())
        return sum(value.item() for value in found.values())

    assert loss({"normal": normal, "unlabelled": unlabelled}) == pytest.approx(
        loss({"normal": together}), rel=1e-5
    )
    assert loss({"unlabelled": normal}) == pytest.approx(loss({"normal": normal}), rel=1e-5)


def test_refining_leaves_the_ensembles_and_the_other_refiner_as_they_are():
    detector = small()
    detector.train()
    before = copy.deepcopy(detector.state_dict())
    terms = detector.refinement_loss("r_dual", {"normal": Batch(blobs(6, SIZE))}, generator())
    terms["r_dual"].backward()
    after = detector.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before if not n.startswith("refiners.r_dual"))
    assert all(p.grad is None for n, p in detector.named_parameters() if not n.startswith("refiners.r_dual"))
    assert all(p.grad is not None for p in detector.refiners["r_dual"].parameters())
    assert detector.normal.members[0].training


@pytest.mark.parametrize("chosen", ["rec", "intra", "r_intra"])
def test_without_the_second_ensemble_normals_are_enough(chosen):
    refiners = ("r_intra",) if chosen == "r_intra" else ()
    detector = small(score=chosen, refiners=refiners)
    assert detector.needs == {"normal"}
    stages = [stage.name for stage in detector.stages()]
    networks = ["normal-1", "normal-2", "normal-3"]
    assert stages == [*networks, *["discrepancies", "refine-r_intra"][: 2 * len(refiners)]]
    assert "inter" not in score(detector.eval(), blobs(2, SIZE)).parts


def test_a_refined_score_without_its_refiner_is_refused():
    with pytest.raises(ValidationError, match="add r_dual to refiners"):
        DDADSettings(score="r_dual", refiners=("r_intra",))


def test_a_training_batch_of_one_image_is_refused_and_a_held_out_one_is_not():
    detector, batch = small(), {"normal": Batch(blobs(1, SIZE))}
    with pytest.raises(UserError, match="at least two images"):
        detector.refinement_loss("r_dual", batch, generator())
    detector.eval()
    assert all(value.isfinite() for value in detector.refinement_loss("r_dual", batch, generator()).values())


def test_the_refiner_learns_to_see_changed_places():
    images = blobs(24, SIZE)
    detector = small(
        "ae", refiners=("r_intra",), score="r_intra", anomalies={"name": "blobs", "contrast": (3.0, 4.0)}
    )
    steps = {
        "normal": 1,
        "discrepancies": None,
        "refine": 60,
    }  # of networks that are hardly trained it learns too
    settings = {
        name: StageSettings(steps=n, batch_size=24, optimiser=OptimiserSettings(lr=5e-3))
        for name, n in steps.items()
    }
    log = train_on(detector, {"normal": images}, settings)
    losses = [sum(epoch.losses.values()) for epoch in log.stages[-1].epochs]
    assert len(losses) == 60
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_the_paper_preset_has_the_papers_shapes_and_values():
    recipe = Recipe.load("ddad-aeu")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    assert len(detector.normal.members) == len(detector.mixed.members) == 3
    assert [len(module.network) for module in detector.refiners.values()] == [7]
    told = {
        n: (s.epochs, s.batch_size, s.optimiser.lr, s.optimiser.weight_decay)
        for n, s in recipe.stages.items()
    }
    ensemble = (250, 64, 5e-4, 0.0)
    assert told == {"normal": ensemble, "mixture": ensemble, "refine": (100, 8, 1e-4, 1e-4)}
    assert all(s.optimiser.betas == (0.5, 0.999) and s.keep == "last" for s in recipe.stages.values())
    fpi = detector.settings.anomalies
    assert (fpi.share, fpi.alpha, fpi.half_width, fpi.core) == (0.5, (0.0, 1.0), (0.05, 0.2), 0.8)


@pytest.mark.parametrize("preset", ["ddad-ae", "ddad-memae", "ddad-aeu-fast"])
def test_the_other_presets_differ_from_it_in_what_they_say(preset):
    one, other = Recipe.load("ddad-aeu"), Recipe.load(preset)
    if preset != "ddad-aeu-fast":
        assert one.stages == other.stages
        assert other.detector["backbone"]["name"] == preset.removeprefix("ddad-")
        return
    assert {n: s.epochs for n, s in other.stages.items()} == {"normal": 80, "mixture": 80}
    assert (other.detector["score"], other.detector["refiners"]) == ("inter", [])
    assert any("80 epochs instead of 250" in said for said in other.about.differences)
    assert other.detector["backbone"]["network"]["hidden"] == 512


def held_out(count=6, size=4):
    images = blobs(count * size, SIZE, seed=7)
    return (Batch(part) for part in images.split(size))


def test_how_well_the_discrepancies_show_what_is_drawn_is_measured_and_kept():
    detector = small(refiners=("r_dual",)).eval()
    assert (detector.patch_auroc == -1).all()
    assert detector.scored == "r_dual"
    figures = detector.examine(held_out(), generator())
    (inter, lower_inter), (intra, lower_intra) = detector.patch_auroc.tolist()
    assert figures == pytest.approx(
        {
            "AUROC of inter for drawn anomalies": inter, "lower bound of inter": lower_inter,
            "AUROC of intra for drawn anomalies": intra, "lower bound of intra": lower_intra,
        }, abs=1e-6,
    )  # fmt: skip
    assert 0 <= lower_inter < inter < 1
    assert 0 <= lower_intra < intra < 1


@pytest.mark.parametrize(
    ("asked", "bounds", "scored"),
    [
        ("r_dual", (0.55, 0.59), "inter"),
        ("r_dual", (0.55, 0.61), "r_dual"),
        ("r_dual", (0.61, 0.4), "r_dual"),
        ("r_intra", (0.9, 0.59), "intra"),
        ("r_intra", (0.4, 0.6), "r_intra"),
        ("inter", (0.4, 0.4), "inter"),
    ],
)
def test_a_refiner_whose_maps_show_nothing_is_not_the_score(asked, bounds, scored):
    detector = small(score=asked).eval()
    detector.patch_auroc[:, 0] = torch.tensor(bounds) + 0.02
    detector.patch_auroc[:, 1] = torch.tensor(bounds)
    found = score(detector, blobs(2, SIZE))
    assert (
        set(found.maps) == set(detector.mixture().weights) == set(detector.map_mixture().weights) == {scored}
    )
    assert {"r_intra", "r_dual"} < set(found.parts)
    assert bool(detector.warnings()) == (scored != asked)
    if scored != asked:
        assert f"score and map are {scored} in place of {asked}" in detector.warnings()[0]


def test_too_few_held_out_normals_are_no_evidence():
    detector = small().eval()
    detector.examine(iter([Batch(blobs(1, SIZE))]), generator())
    assert detector.scored == "inter"
    assert "inter not measured, for too few held-out normals" in detector.warnings()[0]


def test_padding_and_black_images_are_left_out_of_the_measure():
    detector = small("ae", refiners=("r_intra",), score="r_intra").eval()
    black = torch.zeros(4, 1, *SIZE)
    assert detector.examine(iter([Batch(black)]), generator())["lower bound of intra"] == 0.0
    images, valid = blobs(4, SIZE), torch.ones(4, 1, *SIZE, dtype=torch.bool)
    valid[..., :8] = False
    padded = images.clone()
    padded[..., :8] = 0.3
    first = detector.examine(iter([Batch(padded, valid)]), generator())
    assert first["AUROC of intra for drawn anomalies"] > 0


def test_a_fitted_state_of_before_the_measure_keeps_its_score():
    detector = small()
    state = {name: value for name, value in detector.state_dict().items() if name != "patch_auroc"}
    again = small().load_fitted(state)
    assert again.scored == "r_dual"
    with pytest.raises(RuntimeError, match=r"normal\.members"):
        again.load_fitted({name: value for name, value in state.items() if "normal.members.0" not in name})
