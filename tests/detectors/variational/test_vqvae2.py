import pytest
import torch
from in_memory import blobs, score, train_on

from secondread.detectors.contract import Batch, Generative
from secondread.detectors.detector_settings import OptimiserSettings, StageSettings
from secondread.detectors.variational.vqvae2 import VQVAE2, VQVAE2Settings
from secondread.networks.quantised.two_level_autoencoder import Codes
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)


def make(**changes):
    form = VQVAE2.tiny(2)
    settings = VQVAE2Settings.model_validate({**form.settings.model_dump(), **changes})
    return VQVAE2(settings, form.channels, form.size).eval()


def test_the_loss_is_the_error_and_a_quarter_of_the_latents_distance_from_their_codes():
    detector, images = make(), blobs(3, SIZE)
    with torch.no_grad():
        loss = detector.loss({"normal": Batch(images)}, torch.Generator())
        x = 2 * images - 1
        rebuilt, latents, codes = detector.network(x)
        top, bottom = (
            (z - book.codes[chosen].movedim(-1, 1)).square().mean()
            for z, book, chosen in zip(
                latents, (detector.network.top, detector.network.bottom), codes, strict=True
            )
        )
    torch.testing.assert_close(loss["reconstruction"], (x - rebuilt).square().mean())
    torch.testing.assert_close(loss["commitment"], 0.25 * (top + bottom))


def test_codebooks_move_after_a_step_of_training_alone():
    detector, batches = make(), {"normal": Batch(blobs(4, SIZE))}
    before = detector.network.top.codes.clone()
    detector.loss(batches, torch.Generator())
    detector.update()
    assert torch.equal(detector.network.top.codes, before)
    detector.train()
    detector.loss(batches, torch.Generator())
    assert torch.equal(detector.network.top.codes, before)
    detector.update()
    assert not torch.equal(detector.network.top.codes, before)


def test_the_prior_learns_the_codes_that_the_loop_kept():
    detector, images = make(), blobs(3, SIZE)
    with torch.no_grad():
        codes = detector.codes(images)
        kept = tuple(level.float() for level in codes)
        expected = detector.prior_loss({"normal": Batch(images)}, torch.Generator())
        found = detector.prior_loss({"normal": Batch(images, features=kept)}, torch.Generator())
        top, bottom = detector.surprise(Codes(*(level.long() for level in codes)))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found["top"], top.mean())
    torch.testing.assert_close(found["bottom"], bottom.mean())


def test_parts_are_the_error_the_codes_likelihood_and_the_unlikely_ones():
    detector, images = make(unlikely_above=1.8), blobs(3, SIZE)
    found = score(detector, images)
    with torch.no_grad():
        x = 2 * images - 1
        rebuilt, _, codes = detector.network(x)
        every = torch.cat([level.flatten(1) for level in detector.surprise(codes)], dim=1)
    assert every.shape == (3, 2 * 2 + 4 * 4)
    expected = (x - rebuilt).square()
    torch.testing.assert_close(found.maps["reconstruction"], expected)
    torch.testing.assert_close(found.parts["reconstruction"].values, expected.flatten(1).mean(dim=1))
    torch.testing.assert_close(found.parts["likelihood"].values, every.mean(dim=1))
    unlikely = torch.where(every > 1.8, every, 0).sum(dim=1)
    assert (unlikely > 0).any()
    torch.testing.assert_close(found.parts["unlikely"].values, unlikely)


def test_the_restoration_weighs_the_differences_by_their_nearness():
    detector, images = make(restoration={"threshold": 1.0, "draws": 3, "nearness": 0.5}), blobs(2, SIZE)
    found = score(detector, images).maps["restoration"]
    expected = []
    with torch.no_grad():
        for number, image in enumerate(images):
            x = 2 * image[None] - 1
            codes = detector.network(x)[2]
            draws = torch.rand(3, 20, generator=torch.Generator().manual_seed(number))
            several = Codes(*(level.expand(3, *level.shape[1:]) for level in codes))
            restored = detector.network.of_codes(detector.redraw(several, draws, threshold=1.0))
            error = (x - restored).abs()
            weight = (0.5 / error.flatten(1).mean(dim=1)).softmax(dim=0)
            expected.append((weight.view(3, 1, 1, 1) * error).sum(dim=0))
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_without_unlikely_codes_the_restoration_is_the_reconstruction():
    detector, images = make(restoration={"threshold": 1e3, "draws": 2}), blobs(2, SIZE)
    maps = score(detector, images).maps
    torch.testing.assert_close(maps["restoration"].square(), maps["reconstruction"], rtol=1e-4, atol=1e-6)


def test_samples_are_the_seeds_and_the_ends_of_a_line_are_reconstructions():
    detector = make()
    assert isinstance(detector, Generative)
    one, again, other = (detector.sample(2, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert one.shape == (2, 1, *SIZE)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    images = blobs(2, SIZE)
    along = detector.interpolate(images[0], images[1], 3)
    with torch.no_grad():
        rebuilt = ((detector.network(2 * images - 1)[0] + 1) / 2).clamp(0, 1)
    torch.testing.assert_close(along[[0, -1]], rebuilt, rtol=1e-4, atol=1e-5)


def test_training_rebuilds_normals_and_finds_them_likely():
    sizes = {"width": 16, "residual_width": 4, "blocks": 1, "codes": 32, "code_width": 4}
    detector, images = make(autoencoder={**sizes, "decay": 0.8}), blobs(32, SIZE)
    fast = OptimiserSettings(lr=5e-3)
    stages = {
        name: StageSettings(steps=steps, batch_size=8, optimiser=fast)
        for name, steps in (("codes", 48), ("prior", 12))
    }
    log = train_on(detector, {"normal": images}, stages)
    codes, prior = ([sum(epoch.losses.values()) for epoch in one.epochs] for one in log.stages)
    assert codes[-1] < 0.7 * codes[0]
    assert prior[-1] < 0.95 * prior[0]
    detector.eval()
    healthy = score(detector, blobs(8, SIZE, seed=9)).parts["reconstruction"].values
    ill = score(detector, blobs(8, SIZE, seed=9, lesion=True)).parts["reconstruction"].values
    assert ill.mean() > healthy.mean()


def test_the_paper_preset_has_the_layers_of_its_table():
    recipe = Recipe.load("vqvae2-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    width, half, hidden, code = 128, 64, 32, 64

    def convolution(before, after, kernel):
        return before * after * kernel**2 + after

    residual = 2 * (convolution(width, hidden, 3) + convolution(hidden, width, 1))
    bottom = convolution(3, half, 4) + convolution(half, width, 4) + convolution(width, width, 3) + residual
    top = convolution(width, half, 4) + convolution(half, width, 3) + residual
    decoders = (
        convolution(code, width, 3) + residual + convolution(width, code, 4)
        + convolution(2 * code, width, 3) + residual + convolution(width, half, 4) + convolution(half, 3, 4)
    )  # fmt: skip
    joins = convolution(width, code, 1) + convolution(code + width, code, 1) + convolution(code, code, 4)
    assert sum(p.numel() for p in detector.network.parameters()) == bottom + top + decoders + joins
    assert detector.network.top.codes.shape == (512, 64)
    assert detector.network.grids == ((32, 32), (64, 64))


@pytest.mark.parametrize("name", ["vqvae2", "vqvae2-paper"])
def test_the_presets_have_the_papers_commitment_and_averages(name):
    settings = VQVAE2Settings.model_validate(Recipe.load(name).detector)
    assert (settings.autoencoder.commitment, settings.autoencoder.decay) == (0.25, 0.99)


def test_codes_of_padding_count_in_no_part():
    detector, images = make(unlikely_above=0.0), blobs(3, SIZE)
    valid = torch.ones(3, 1, *SIZE, dtype=torch.bool)
    valid[..., 8:] = False
    with torch.no_grad():
        found = score(detector, images, valid)
        codes = detector.codes(images)
        top, bottom = detector.surprise(Codes(*(level.long() for level in codes)))
    kept = torch.cat((top[..., :1].flatten(1), bottom[..., :2].flatten(1)), dim=1)
    torch.testing.assert_close(found.parts["likelihood"].values, kept.mean(dim=1))
    torch.testing.assert_close(found.parts["unlikely"].values, kept.sum(dim=1))
