"""What each way of computing gives by itself, as a ratio of times: bf16, the channels-last order, CUDA
graphs, torch.compile, transfers, and what repeatable kernels cost."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gpu_parts.bench import Bench
from gpu_parts.training import images_of, recipe_of
from secondread.detectors.contract import Batch, Detector
from secondread.recipes.build import build_detector
from secondread.scoring.device import Precision, Repeatable, autocast, on_device, place, to_device

GLOW, AEFLOW = "shibata-bct", "aeflow-paper"


def frozen_encoder(bench: Bench) -> tuple[nn.Module, Tensor]:
    """AE-FLOW's encoder and a batch of its images on the host."""
    recipe = recipe_of(AEFLOW, small=bench.small)
    encoder = build_detector(recipe).encoder
    assert isinstance(encoder, nn.Module)
    images = torch.from_numpy(images_of(recipe, 2 if bench.small else 16))
    return encoder.eval(), images


def glow_step(bench: Bench) -> Callable[[Precision], None]:
    """A training step of a three-dimensional Glow without its optimiser, in a precision."""
    recipe = recipe_of(GLOW, small=bench.small)
    detector: Detector = build_detector(recipe)
    place(detector, bench.device)
    stage = next(stage for stage in detector.stages() if stage.steps)
    batch = on_device(Batch(torch.from_numpy(images_of(recipe, 1))), bench.device)
    batches = dict.fromkeys(stage.on, batch)
    generator = torch.Generator().manual_seed(0)
    if stage.prepare is not None:
        with torch.no_grad():
            stage.prepare(iter([batches]), generator)
    detector.train()

    def step(precision: Precision) -> None:
        with autocast(bench.device, precision):
            total = sum(stage.steps[0].loss(batches, generator).values())
        assert isinstance(total, Tensor)
        total.backward()
        detector.zero_grad(set_to_none=True)

    return step


def bf16(bench: Bench) -> None:
    """bf16 against float32: the encoder forwards, the flow's training step."""
    encoder, images = frozen_encoder(bench)
    place(encoder, bench.device)
    x = to_device(images, bench.device)
    found: dict[str, float] = {}
    for precision in ("float32", "bf16"):
        kind: Precision = "bf16" if precision == "bf16" else "float32"
        with torch.inference_mode(), autocast(bench.device, kind):
            found[precision] = bench.seconds(lambda: encoder(x))
    bench.ratio("bf16, encoder", ("float32", found["float32"]), ("bf16", found["bf16"]))
    step = glow_step(bench)
    plain, half = (bench.seconds(lambda kind=kind: step(kind), rounds=5) for kind in ("float32", "bf16"))
    bench.ratio("bf16, a Glow's training step", ("float32", plain), ("bf16", half))


def channels_last(bench: Bench) -> None:
    """The encoder's weights and images in either order, in the precision that is chosen here."""
    encoder, images = frozen_encoder(bench)
    x = images.to(bench.device)
    encoder.to(bench.device)
    with torch.inference_mode(), autocast(bench.device, bench.precision):
        before = bench.seconds(lambda: encoder(x))
    place(encoder, bench.device)
    x = to_device(images, bench.device)
    with torch.inference_mode(), autocast(bench.device, bench.precision):
        after = bench.seconds(lambda: encoder(x))
    bench.ratio("channels-last, encoder", ("torch's order", before), ("channels-last", after))


def repeatable(bench: Bench) -> None:
    """What a fit pays for kernels that give the same result every time."""
    step = glow_step(bench)
    free = bench.seconds(lambda: step(bench.precision), rounds=5)
    with Repeatable(bench.device):
        bound = bench.seconds(lambda: step(bench.precision), rounds=5)
    bench.ratio("any kernels, a Glow's training step", ("repeatable", bound), ("any", free))


def graph(bench: Bench) -> None:
    """One image at a time, as scoring asks: the encoder's kernels one by one, or as one CUDA graph."""
    if not bench.on_gpu:
        bench.tell("CUDA graph", "not measured", "needs a CUDA GPU")
        return
    encoder, images = frozen_encoder(bench)
    place(encoder, bench.device)
    x = to_device(images[:1], bench.device)
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
        one_by_one = bench.seconds(lambda: encoder(x), rounds=30)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                encoder(x)
        torch.cuda.current_stream().wait_stream(aside)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            encoder(x)
        replayed = bench.seconds(captured.replay, rounds=30)
    bench.ratio("CUDA graph, encoder, one image", ("one by one", one_by_one), ("graph", replayed))


def compiled(bench: Bench) -> None:
    """The encoder through torch.compile, for one image and for a batch."""
    encoder, images = frozen_encoder(bench)
    place(encoder, bench.device)
    for count in (1, len(images)):
        torch.compiler.reset()
        x = to_device(images[:count], bench.device)
        with torch.no_grad(), autocast(bench.device, bench.precision):
            plain = bench.seconds(lambda x=x: encoder(x), rounds=20)
            made = torch.compile(encoder, dynamic=False)
            begun = time.perf_counter()
            made(x)
            bench.wait()
            once = time.perf_counter() - begun
            faster = bench.seconds(lambda x=x, made=made: made(x), rounds=20)
        bench.ratio(f"torch.compile, encoder, {count} image(s)", ("as it is", plain), ("compiled", faster))
        bench.tell(f"torch.compile, {count} image(s): compiling", f"{once:.3g} s")


def transfers(bench: Bench) -> None:
    """Twenty batches to the device and through the encoder: from pageable memory, from page-locked memory as
    the product does, and from page-locked memory in a stream of its own, one batch ahead."""
    encoder, images = frozen_encoder(bench)
    place(encoder, bench.device)
    host = [images.clone() for _ in range(20)]

    def pageable() -> None:
        for batch in host:
            encoder(batch.to(bench.device).contiguous(memory_format=torch.channels_last))

    def page_locked() -> None:
        for batch in host:
            encoder(to_device(batch, bench.device))

    def ahead() -> None:
        aside = torch.cuda.Stream()
        here = torch.cuda.current_stream()
        coming: Tensor | None = None
        for batch in [*host, None]:
            ready = coming
            here.wait_stream(aside)
            if batch is not None:
                with torch.cuda.stream(aside):
                    coming = to_device(batch, bench.device)
            if ready is not None:
                ready.record_stream(here)
                encoder(ready)

    with torch.inference_mode(), autocast(bench.device, bench.precision):
        waits = bench.seconds(pageable, rounds=3, warm=1)
        goes_on = bench.seconds(page_locked, rounds=3, warm=1)
        bench.ratio("page-locked transfers, 20 batches", ("pageable", waits), ("page-locked", goes_on))
        if not bench.on_gpu:
            bench.tell("overlapped transfers", "not measured", "needs a CUDA GPU")
            return
        before = bench.seconds(ahead, rounds=3, warm=1)
        bench.ratio("overlapped transfers, 20 batches", ("pageable", waits), ("a batch ahead", before))
    megabytes = images.numel() * images.element_size() / 1e6
    for kind, tensor in (("pageable", images), ("page-locked", images.pin_memory())):
        taken = bench.seconds(lambda tensor=tensor: tensor.to(bench.device, non_blocking=True))
        bench.tell(f"copy to the GPU, {kind}", f"{megabytes / 1000 / taken:.3g} GB/s", f"{megabytes:.3g} MB")
