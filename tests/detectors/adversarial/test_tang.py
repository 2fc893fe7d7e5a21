import pytest
import torch
from in_memory import blobs, score, train_on

from secondread.detectors.adversarial.tang import Tang, TangSettings
from secondread.detectors.detector_settings import StageSettings
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)


def small(**settings):
    return Tang(TangSettings(network={"width": 2, "latent": 4}, **settings), 1, SIZE)


def test_the_score_is_the_reconstructions_error():
    detector, images = small().eval(), blobs(3, SIZE)
    found = score(detector, images)
    assert detector.mixture().weights == {"residual": 1.0}
    torch.testing.assert_close(found.parts["residual"].values, found.maps["residual"].mean(dim=(1, 2, 3)))


def test_the_decoder_sees_the_coarsest_levels_alone():
    assert small(coarsest_skips=0).decoder.skips == set()
    assert small(coarsest_skips=1).decoder.skips == {1}
    assert small(coarsest_skips=2).decoder.skips == {0, 1}
    with pytest.raises(ValueError, match=r"coarsest_skips is 3, and \(16, 16\) has 2 levels"):
        small(coarsest_skips=3)


class Given(Tang):
    """Passes on a share of what it is given."""

    share = 0.0

    def rebuilt(self, x):
        z, image, again = super().rebuilt(x)
        return z, self.share * x + 0 * image, again


@pytest.mark.parametrize(("share", "warned"), [(1.0, True), (0.9, True), (0.3, False), (0.0, False)])
def test_the_share_of_a_foreign_patch_that_comes_out_again_is_measured_and_told(share, warned):
    detector = Given(TangSettings(network={"width": 2, "latent": 4}), 1, SIZE)
    detector.share = share
    nothing = StageSettings(steps=1, batch_size=4, optimiser={"lr": 1e-12})
    log = train_on(
        detector, {"normal": blobs(8, SIZE), "validation": blobs(6, SIZE, seed=1)}, {"game": nothing}
    )
    found = log.stages[0].figures["share of a foreign patch that is copied"]
    assert found == pytest.approx(share, abs=1e-5)
    assert any("copies what it is given" in line for line in log.warnings) == warned


def test_the_preset_says_that_it_is_a_reading():
    about = Recipe.load("tang").about
    assert "reading, not reproduction" in about.title
    assert about.state == "experimental"
