import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from secondread.networks.on_meta.shapes_only import ShapesOnly

LAYERS = {
    "sum of two maps": lambda x: x + x[:, :1],
    "smaller plus larger": lambda x: x[:, :1] + x,
    "a number": lambda x: 2 * x - 1,
    "in place": lambda x: functional.hardtanh(x.clone(), 0, 6, inplace=True),
    "another type": lambda x: x.half() + x,
    "batch normalisation": nn.BatchNorm2d(4).eval(),
    "group normalisation": nn.GroupNorm(2, 4),
    "joined": lambda x: torch.cat([x, x[:, :1]], dim=1),
    "joined along the last": lambda x: torch.cat([x, x[..., :2]], dim=-1),
    "channels last": lambda x: functional.silu(x.contiguous(memory_format=torch.channels_last)),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_shapes_types_and_order_are_those_of_the_numbers(layer):
    x = torch.randn(2, 4, 5, 6)
    real = layer(x)
    on_meta = layer.to("meta") if isinstance(layer, nn.Module) else layer
    with ShapesOnly():
        planned = on_meta(x.to("meta"))
        unit = torch.eye(3, 2, device="meta")
    assert planned.is_meta
    assert (planned.shape, planned.dtype, planned.stride()) == (real.shape, real.dtype, real.stride())
    assert unit.shape == (3, 2)


def test_maps_that_cannot_be_joined_are_refused_and_numbers_elsewhere_are_computed():
    with ShapesOnly():
        with pytest.raises(RuntimeError, match="cannot be joined"):
            torch.cat([torch.zeros(1, 2, 3, device="meta"), torch.zeros(1, 2, 4, device="meta")], dim=1)
        assert (torch.ones(2) + 1).tolist() == [2, 2]


def test_a_bundle_is_read_and_asked_without_torch_s_compiler(mapping_bundle, phantoms):
    code = (
        "import sys, secondread\n"
        "bundle = secondread.Bundle.load(sys.argv[1])\n"
        "assert secondread.score(bundle, [sys.argv[2]], workers=0)\n"
        "heavy = {'torch._dynamo', 'scipy.stats', 'matplotlib', 'lightning_fabric'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    film = phantoms.reference(phantoms.rows[0])
    done = subprocess.run(
        [sys.executable, "-c", code, str(mapping_bundle.path), film],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
