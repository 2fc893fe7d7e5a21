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
    "stacked": lambda x: torch.stack([x, x], dim=-2),
    "channels last": lambda x: functional.silu(x.contiguous(memory_format=torch.channels_last)),
    "convolution": nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), groups=2),
    "dilated convolution": nn.Conv2d(4, 4, 3, padding=2, dilation=2),
    "transposed convolution": nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
    "largest of windows": nn.MaxPool2d(3, stride=2, padding=1),
    "largest of windows, channels last": lambda x: functional.max_pool2d(
        x.contiguous(memory_format=torch.channels_last), 2
    ),
    "edges repeated": nn.ReplicationPad2d((1, 2, 0, 3)),
    "batch normalisation in training": nn.BatchNorm2d(4),
    "repeated": lambda x: x.repeat(2, 1, 1, 1, 3),
    "compared": lambda x: x > x[:, :1],
    "sorted": lambda x: x.sort(descending=True).values,
    "places in order": lambda x: x.sort(dim=1).indices,
    "orthogonal": lambda x: torch.linalg.qr(x)[0],
    "triangular": lambda x: torch.linalg.qr(x)[1],
    "determinant": lambda x: torch.linalg.det(x[..., :5] + torch.eye(5, device=x.device)),
    "root of a matrix": lambda x: torch.linalg.cholesky_ex(x @ x.mT + torch.eye(5, device=x.device))[0],
    "permutation": lambda x: torch.randperm(7, device=x.device).sort().values,
    "drawn whole numbers": lambda x: torch.randint(9, (2, 3), device=x.device),
    "whole numbers in order": lambda x: torch.arange(8, 1, -3, device=x.device),
    "drawn in place": lambda x: nn.init.normal_(x.clone()),
}
REFUSED = {
    "a convolution of other channels": lambda x: functional.conv2d(
        x, torch.zeros(1, 3, 1, 1, device=x.device)
    ),
    "a convolution wider than the map": lambda x: functional.conv2d(
        x, torch.zeros(1, 4, 7, 7, device=x.device)
    ),
    "windows wider than the map": lambda x: functional.max_pool2d(x, 7),
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


@pytest.mark.parametrize("layer", REFUSED.values(), ids=REFUSED)
def test_what_the_operation_refuses_is_refused(layer):
    with pytest.raises(RuntimeError):
        layer(torch.zeros(2, 4, 5, 6))
    with ShapesOnly(), pytest.raises(RuntimeError):
        layer(torch.zeros(2, 4, 5, 6, device="meta"))


def test_maps_that_cannot_be_joined_are_refused_and_numbers_elsewhere_are_computed():
    with ShapesOnly():
        with pytest.raises(RuntimeError, match="cannot be joined"):
            torch.cat([torch.zeros(1, 2, 3, device="meta"), torch.zeros(1, 2, 4, device="meta")], dim=1)
        assert (torch.ones(2) + 1).tolist() == [2, 2]


def test_a_bundle_is_read_and_asked_and_a_fit_begins_without_torch_s_compiler(mapping_bundle, phantoms):
    code = (
        "import sys, secondread\n"
        "bundle = secondread.Bundle.load(sys.argv[1])\n"
        "assert secondread.score(bundle, [sys.argv[2]], workers=0)\n"
        "import secondread.fitting.fit, torch\n"
        "from secondread.scoring.device import make_fabric\n"
        "make_fabric(torch.device('cpu'), 'float32').backward(torch.ones((), requires_grad=True))\n"
        "heavy = {'torch._dynamo', 'sympy', 'scipy.stats', 'matplotlib', 'lightning_fabric'}\n"
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
