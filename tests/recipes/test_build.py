import pytest
import torch

from secondread.errors import UserError
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe, presets

PRESETS = {preset.name: preset for preset in presets()}
PAPERS = tuple(name for name in PRESETS if name.endswith("-paper") or name.startswith("shibata-"))
"""Large ones, of detectors that have others. Quick tests of the detectors build most of them too."""


def on_meta(recipe: Recipe):
    with torch.device("meta"):
        return build_detector(recipe, pretrained=False)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in PAPERS)) for name in PRESETS]
)
def test_a_preset_builds_and_says_truly_what_it_needs_and_takes(name):
    recipe = Recipe.load(name)
    detector = on_meta(recipe)
    assert set(recipe.about.needs) == detector.needs
    assert set(PRESETS[name].ranks) <= detector.ranks
    assert len(recipe.preprocessing.size) in PRESETS[name].ranks
    assert bool(recipe.about.paper) == (recipe.about.state != "baseline")
    trained = {stage.section for stage in detector.stages() if stage.steps}
    assert trained <= set(recipe.stages)
    assert all(recipe.stages[stage].epochs or recipe.stages[stage].steps for stage in trained)


def test_the_paper_preset_has_the_papers_shapes_and_values():
    recipe = Recipe.load("aeflow-paper")
    detector = on_meta(recipe)
    h = detector.encode(torch.empty(2, 3, 256, 256, device="meta"))[0]
    assert h.shape == (2, 1024, 16, 16)
    z, _ = detector.flow.transform(h)
    assert z.shape == h.shape
    assert detector.decoder(z).shape == (2, 3, 256, 256)
    assert len(detector.flow.blocks) == 8
    stage = recipe.stages["flow"]
    assert (stage.epochs, stage.batch_size, stage.optimiser.lr) == (100, 16, 2e-3)
    assert (stage.optimiser.betas[0], stage.optimiser.weight_decay) == (0.9, 1e-4)
    assert (detector.settings.alpha, detector.settings.beta, detector.settings.scaled) == (0.5, 0.9, False)
    assert recipe.about.differences


def test_the_paper_preset_follows_the_paper_for_chest_x_ray_as_its_note_says():
    note = Recipe.load("aeflow-paper").about.differences[0]
    settings = [
        "detector.flow.subnet=conv",
        "stages.flow.optimiser.lr=1e-3",
        "stages.flow.optimiser.weight_decay=0",
    ]
    assert all(setting in note for setting in settings)
    recipe = Recipe.load("aeflow-paper", set=settings)
    assert on_meta(recipe).settings.flow.subnet == "conv"


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["detector.beta=2"], "mine: detector.beta is 2: input should be less than or equal to 1"),
        (["detector.flow.blocs=3"], "mine: detector.flow.blocs is not a setting; did you mean blocks?"),
        (["detector.name=aeflw"], "mine: detector.name is 'aeflw'; did you mean aeflow? detectors are "),
        (["stages.flo.epochs=3"], "mine: stages.flo is not a stage of aeflow; its stages are flow"),
    ],
)  # fmt: skip
def test_what_the_detector_does_not_take_is_told_by_its_key(settings, line):
    with pytest.raises(UserError) as caught:
        build_detector(Recipe.load("aeflow", set=settings), pretrained=False, source="mine")
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    ("preset", "settings", "line"),
    [
        ("k-nn", ["detector.k=6", "detector.bank=5"], "k is 6: the bank holds at most 5 normals; set bank"),
        ("patchcore", ["detector.bank=50000"], "mine: detector: pool is 100000: it should be at least 4"),
        ("patchcore", ["detector.encoder.name=conv"], "mine: detector: it needs an encoder with pretrained"),
        ("one-class-svm", ["detector.gamma=x"], "mine: detector.gamma is 'x': input should be a valid"),
    ],
)  # fmt: skip
def test_settings_that_do_not_go_together_are_told_in_words(preset, settings, line):
    with pytest.raises(UserError) as caught:
        build_detector(Recipe.load(preset, set=settings), pretrained=False, source="mine")
    assert line in str(caught.value)


def test_the_seed_decides_the_parameters_and_nothing_else_does():
    recipe = Recipe.load("aeflow-conv", set=["preprocessing.size=[32, 32]"])
    before = torch.random.get_rng_state()
    one = build_detector(recipe).state_dict()
    torch.rand(3)
    again = build_detector(recipe).state_dict()
    other = build_detector(recipe.model_copy(update={"seed": 1})).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    torch.random.set_rng_state(before)
