import math
from itertools import product

import numpy as np
import pytest
import torch

from secondread.anomalies.patches import rotations
from secondread.anomalies.perlin import perlin


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("size", "cells"), [((9, 12), (2, 3)), ((5, 6, 4), (1, 2, 2))])
def test_it_is_the_equation_position_by_position(size, cells):
    rank, most = len(size), 4
    turn = rotations(torch.tensor([[25.0, -40.0, 70.0][: rank * (rank - 1) // 2]]), rank)
    found = perlin(generator(), size, torch.tensor([cells]).float(), turn, most)[0, 0].numpy()
    vectors = torch.randn(1, rank, most**rank, generator=generator())[0].numpy().astype(float)
    vectors /= np.linalg.norm(vectors, axis=0)
    middle = np.array(size) / 2
    for place in product(*map(range, size)):
        away = turn[0].numpy().astype(float) @ (np.array(place) + 0.5 - middle)
        u = (away + middle) * np.array(cells) / np.array(size)
        value = 0.0
        for end in product((0, 1), repeat=rank):
            corner = np.floor(u).astype(int) + end
            index = 0
            for axis in range(rank):
                index = index * most + corner[axis] % cells[axis]
            t = np.abs(u - corner)
            weight = np.prod(1 - (6 * t**5 - 15 * t**4 + 10 * t**3))
            value += weight * (vectors[:, index] @ (u - corner))
        assert found[place] == pytest.approx(value * 2 / math.sqrt(rank), abs=1e-4)


def test_it_has_the_asked_cells_in_each_image_and_stays_in_its_range():
    cells = torch.tensor([[1.0, 1.0], [8.0, 8.0]]).repeat(20, 1)
    noise = perlin(generator(), (32, 32), cells, torch.eye(2).expand(40, 2, 2), 8)
    assert float(noise.abs().max()) <= 1
    assert float(noise.abs().max()) > 0.7
    assert abs(float(noise.mean())) < 0.05
    steps = noise.diff(dim=3).abs().flatten(1).mean(dim=1)
    assert float(steps[1::2].min()) > 2 * float(steps[::2].max())
    smooth = perlin(generator(), (65, 65), cells[:4], torch.eye(2).expand(4, 2, 2), 8)
    assert float(smooth[0].diff(dim=2).abs().max()) < 0.1
