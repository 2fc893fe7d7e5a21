import pytest
import torch

from secondread.detectors.blocks.encoder_settings import build_encoder
from secondread.networks.encoder import map_sizes
from secondread.networks.encoders.residual import ResidualEncoder, ResidualSettings
from secondread.networks.encoders.resnet18 import ResNet18

LAYERS = ("layer1", "layer2", "layer3", "layer4")


def test_the_widest_form_has_the_parameters_of_resnet_18():
    with torch.device("meta"):
        own = ResidualEncoder(2, 3, LAYERS, width=64, blocks=2)
        public = ResNet18(LAYERS, pretrained=False)
    shapes = [sorted(tuple(p.shape) for p in one.parameters()) for one in (own, public)]
    assert shapes[0] == shapes[1]
    assert sum(p.numel() for p in own.parameters()) == 11_176_512
    assert own.channels == public.channels == (64, 128, 256, 512)
    assert map_sizes(own, 3, (224, 200)) == map_sizes(public, 3, (224, 200))


def test_with_the_weights_of_resnet_18_it_gives_its_maps():
    torch.manual_seed(0)
    layers = LAYERS[:2]
    own = ResidualEncoder(2, 3, layers, width=64, blocks=2).eval()
    public = ResNet18(layers, pretrained=False, imagenet_statistics=False)
    with torch.no_grad():
        for module in own.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.running_mean.normal_(0, 0.1)
    level = "levels.{}.{}.{}"
    names = {"stem.weight": "conv1.weight"} | {
        f"norm.{part}": f"bn1.{part}" for part in ("weight", "bias", "running_mean", "running_var")
    }
    for layer in layers:
        for block in range(2):
            for number in range(2):
                names[level.format(layer, block, f"layers.{number}.weight")] = (
                    f"{layer}.{block}.conv{number + 1}.weight"
                )
                for part in ("weight", "bias", "running_mean", "running_var"):
                    names[level.format(layer, block, f"norms.{number}.{part}")] = (
                        f"{layer}.{block}.bn{number + 1}.{part}"
                    )
        names[level.format(layer, 0, "shortcut.weight")] = f"{layer}.0.downsample.0.weight"
        for part in ("weight", "bias", "running_mean", "running_var"):
            names[level.format(layer, 0, f"shortcut_norm.{part}")] = f"{layer}.0.downsample.1.{part}"
    state = own.state_dict()
    public.network.load_state_dict(
        {there: state[here] for here, there in names.items() if here in state}, strict=False
    )
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for found, expected in zip(own(images), public(images), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "grid"), [((64, 40), (4, 3)), ((32, 32, 16), (2, 2, 1))])
def test_it_takes_both_ranks_and_gives_the_map_of_stride_16_unless_told(size, grid):
    encoder = build_encoder(ResidualSettings(width=4, blocks=1), len(size), 1, pretrained=True).eval()
    images = torch.rand(2, 1, *size)
    (features,) = encoder(images)
    assert features.shape == (2, 16, *grid)
    torch.testing.assert_close(encoder(images[:1])[0], features[:1])
    assert "layer4" not in encoder.levels


def test_layers_that_it_lacks_or_out_of_order_are_refused():
    with pytest.raises(ValueError, match="no layer 'layer5'; there are layer1"):
        ResidualEncoder(2, 1, ("layer5",), width=4, blocks=1)
    with pytest.raises(ValueError, match="in its order"):
        ResidualEncoder(2, 1, ("layer3", "layer1"), width=4, blocks=1)
