"""Every preset names what differs from its paper, as far as a test can tell from its own settings."""

import pytest

from secondread.recipes.recipe import Recipe, presets

OF_A_PAPER = {
    preset.name: Recipe.load(preset.name)
    for preset in presets()
    if preset.about.paper and preset.about.state != "baseline"
}
AUTOENCODERS = [
    name
    for name, recipe in OF_A_PAPER.items()
    if recipe.detector["name"] in ("ae", "memae", "aeu", "ddad") and "MedIAnomaly" not in recipe.about.paper
]
AE_FLOW = [name for name, recipe in OF_A_PAPER.items() if recipe.detector["name"] == "aeflow"]


OF_COLOURS = {
    "anomaly-dino", "cflow", "csflow", "efficientad", "fastflow", "mutual-scoring", "padim", "patch-mixture",
    "patchcore",
}  # fmt: skip
"""Detectors whose papers have photographs in colour."""


def standardises(recipe: Recipe) -> bool:
    return any(hasattr(step, "standardise") for step in recipe.preprocessing.steps)


def differences(name: str) -> str:
    told = " ".join(OF_A_PAPER[name].about.differences)
    if "All those of the preset aeflow" in told:
        told += differences("aeflow")
    return " ".join(told.split())


@pytest.mark.parametrize(
    "name", [name for name in AUTOENCODERS if len(OF_A_PAPER[name].preprocessing.size) == 2]
)
def test_autoencoders_of_the_ddad_study_say_what_becomes_of_the_last_batch_and_of_the_512_pixels(name):
    assert "the authors drop the incomplete batch" in differences(name)
    assert "store them at 512 pixels, rounded to 8 bits" in differences(name)


@pytest.mark.parametrize("name", [name for name in AE_FLOW if name != "aeflow-paper"])
def test_a_form_of_ae_flow_names_length_rate_schedule_widths_and_channels(name):
    told = differences(name)
    for words in ("held-out normals", "schedule", "clipping", "width", "grey channel"):
        assert words in told, words


@pytest.mark.parametrize(
    "name", [name for name in OF_A_PAPER if name.startswith(("shibata", "glow-cxr", "glow-vol"))]
)
def test_two_glows_name_what_is_not_the_papers_nor_glows(name):
    recipe, told = OF_A_PAPER[name], differences(name)
    if recipe.detector["flow"]["scale"] == "glow":
        assert "σ(h + 2)" in told
        assert "trains for" in told
    if any(stage.optimiser.name == "adamax" for stage in recipe.stages.values()):
        for words in ("β2 = 0.999", "exp(3 l)", "arm-up", "moving average"):
            assert words in told, words
    if len(recipe.preprocessing.size) == 3 and recipe.about.state == "paper":
        assert "stretched to 32" in told


@pytest.mark.parametrize("name", [name for name, recipe in OF_A_PAPER.items() if standardises(recipe)])
def test_a_preset_that_shows_images_by_their_own_deviation_says_so(name):
    words = (
        "is standardised over"
        if "foreground" in str(OF_A_PAPER[name].preprocessing.steps)
        else "about its mean"
    )
    assert words in differences(name)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, recipe in OF_A_PAPER.items()
        if recipe.detector["name"] in OF_COLOURS and recipe.preprocessing.colour == "grey"
    ],
)
def test_a_preset_that_makes_coloured_pictures_grey_says_so(name):
    assert "grey" in differences(name)
