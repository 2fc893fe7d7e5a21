"""The compiled coupling network for ARM, cross-compiled and run by an emulator against float64.

    apt-get install g++-aarch64-linux-gnu qemu-user
    python benchmarks/machines/neon.py

Both NEON forms (float32; bfloat16 by its own instruction) on odd shapes in 2-D and 3-D: the output and all
gradients, as the relative error of each case's worst. Correctness alone: no speed is told.
Ends with 1 where an error is above 2e-6 in float32, or in bfloat16 where whole numbers, which it holds
exactly, come out otherwise.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "flows" / "glow"))

from test_vector_kernel import CASES, drawn, error, exactly, whole_numbers

from secondread.flows.glow.native.forms import FORMS, Form
from secondread.flows.glow.network import LOGS

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", ("qemu-aarch64", "-cpu", "max", "-L", "/usr/aarch64-linux-gnu")
DRIVER = r"""
#include <cstdio>
#include "backward.h"
using namespace secondread;
int main(int, char** files) {
    int64_t head[9];
    FILE* in = fopen(files[1], "rb");
    if (fread(head, 8, 9, in) != 9) return 1;
    Call call{head[0], {head[1], head[2], head[3]}, head[4], head[5], head[6], head[7], 1};
    const bool border = head[8];
    int64_t taps = call.rank == 2 ? 9 : 27, positions = call.images * head[1] * head[2] * head[3];
    const int64_t w = call.width, o = call.channels_out;
    const int64_t in_rows = (call.channels_in + border) * taps, out_rows = o * taps;
    const int64_t counts[] = {call.channels_in * positions, w * in_rows, w, w, w * w, w, w,
                              out_rows * w, o, o, border ? out_rows : 0, o * positions};
    std::vector<std::vector<float>> given, found;
    for (int64_t count : counts) {
        given.emplace_back(count), found.emplace_back(count);
        if (int64_t(fread(given.back().data(), 4, count, in)) != count) return 1;
    }
    const float** to = &call.x;
    for (int at = 0; at < 11; ++at) to[at] = counts[at] ? given[at].data() : nullptr;
    float* results[11];
    for (int at = 0; at < 11; ++at) results[at] = counts[at] ? found[at].data() : nullptr;
    forward(call, found[11].data());
    backward(call, given[11].data(), *(const Gradients*)results);
    FILE* out = fopen(files[2], "wb");
    fwrite(found[11].data(), 4, counts[11], out);
    for (int at = 0; at < 11; ++at) fwrite(found[at].data(), 4, counts[at], out);
    return fclose(out);
}
"""


def built(form: Form, folder: Path) -> Path:
    source, program = folder / "driver.cpp", folder / form.name.replace(" ", "-")
    source.write_text(DRIVER, encoding="utf-8")
    flags = [flag for flag in form.flags if flag not in ("-shared", "-fopenmp", "-O3")]
    subprocess.run(
        [COMPILER, *flags, "-O1", "-static", f"-I{form.path.parent}", str(source), "-o", str(program)],
        check=True,
    )
    return program


def run(program: Path, folder: Path, x, values, gradient) -> list[torch.Tensor]:
    channels, images, *size = x.shape
    sizes = [*size, *([1] * (3 - len(size)))]
    head = [len(size), *sizes, images, channels, len(values[7]), len(values[3]), len(values) > 9]
    gains = [torch.exp(3.0 * value) if at in LOGS else value for at, value in enumerate(values)]
    given = np.concatenate([each.numpy().ravel() for each in (x, *gains, gradient)])
    (folder / "in").write_bytes(np.array(head, np.int64).tobytes() + given.astype(np.float32).tobytes())
    subprocess.run([*EMULATOR, str(program), str(folder / "in"), str(folder / "out")], check=True)
    numbers = torch.from_numpy(np.fromfile(folder / "out", np.float32))
    shapes = [gradient.shape, x.shape, *(value.shape for value in values)]
    parts = numbers.split([shape.numel() for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def main() -> None:
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for form in (form for form in FORMS if form.machine == "aarch64"):
            program = built(form, folder)
            single = form.precision is torch.float32
            for case in CASES:
                given = (drawn if single else whole_numbers)(*case)
                found, expected = run(program, folder, *given), exactly(*given)
                worst = max(map(error, found, expected))
                failed |= worst > (2e-6 if single else 0.0)
                print(f"{form.name:15s} {case!s:40s} {worst:.1e}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
