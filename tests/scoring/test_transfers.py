"""Batches on their way to a device."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from secondread.anomalies.anomaly import Anomalies
from secondread.detectors.contract import Batch
from secondread.scoring.device import on_device


@pytest.fixture
def batch() -> Batch:
    images = torch.rand(3, 2, 4, 5)
    somewhere = images[:, :1] > 0.5
    drawn = Anomalies(images + 1, somewhere, somewhere.float(), torch.arange(3))
    whole = Batch(images, somewhere, (torch.rand(3, 7),), (), somewhere, torch.ones(3, dtype=torch.bool))
    return replace(
        whole, others=(Batch(images.flip(0)),), drawn=drawn, digests=("a", "b", "c"), patients=("p", "q", "r")
    )


def tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple):
        return [tensor for each in value for tensor in tensors(each)]
    if isinstance(value, Batch | Anomalies):
        return [tensor for field in fields(value) for tensor in tensors(getattr(value, field.name))]
    return []


def test_every_tensor_of_a_batch_arrives_and_its_names_stay(batch):
    arrived = on_device(batch, torch.device("meta"))
    assert [tensor.shape for tensor in tensors(arrived)] == [tensor.shape for tensor in tensors(batch)]
    assert {tensor.device.type for tensor in tensors(arrived)} == {"meta"}
    assert (arrived.digests, arrived.patients) == (batch.digests, batch.patients)


def test_images_and_drawn_ones_arrive_in_channels_last_order_with_their_numbers(batch):
    arrived = on_device(batch, torch.device("cpu"))
    for before, after in zip(tensors(batch), tensors(arrived), strict=True):
        assert torch.equal(before, after)
    assert arrived.images.is_contiguous(memory_format=torch.channels_last)
    assert arrived.drawn.images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
def test_a_gpu_gets_the_numbers_that_the_host_had_when_it_sent_them(batch):
    sent = [tensor.clone() for tensor in tensors(batch)]
    arrived = on_device(batch, torch.device("cuda"))
    batch.images.zero_()
    for before, after in zip(sent, tensors(arrived), strict=True):
        assert torch.equal(before, after.cpu())
