"""An ONNX graph while it grows: nodes, constants, and which torch tensor is which of its values."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

OPSET = 20
IR_VERSION = 10
"""What onnxruntime 1.18 and later read."""
MOST_IN_ONE_FILE = 32 << 20
"""Bytes of constants; beyond them the large ones lie in a second file, which ONNX Runtime maps: of a file of
protocol buffers it holds each constant twice while it reads, and such a file ends at 2 GB."""
LARGE = 1 << 16
"""Bytes of a constant, from which it goes into that file."""
PAGE = 1 << 12
"""Where constants begin in it, so that they can be mapped."""
MODEL_FILE = "model.onnx"
ONNX_TYPES = {
    torch.float32: 1,
    torch.float64: 11,
    torch.int64: 7,
    torch.int32: 6,
    torch.uint8: 2,
    torch.bool: 9,
}
"""`TensorProto.DataType` of the standard."""


class OnnxGraph:
    """Nodes and constants in the order of the computation.

    >>> import torch
    >>> from secondread.exporting.onnx_graph import OnnxGraph
    >>> graph = OnnxGraph()
    >>> x = graph.input("x", (2,), torch.float32)
    >>> y = graph.node("Add", x, graph.constant([1.0, 2.0], torch.float32))
    >>> graph.output("y", y, (2,), torch.float32)
    >>> graph.bytes_of_constants
    8
    """

    def __init__(self) -> None:
        from onnx import helper

        self._make = helper
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.constants: dict[bytes, tuple[str, NDArray[Any]]] = {}

    @property
    def bytes_of_constants(self) -> int:
        return sum(array.nbytes for _, array in self.constants.values())

    def input(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> str:
        self.inputs.append(self._make.make_tensor_value_info(name, ONNX_TYPES[dtype], list(shape)))
        return name

    def output(self, name: str, value: str, shape: Sequence[int], dtype: torch.dtype) -> None:
        self.nodes.append(self._make.make_node("Identity", [value], [name]))
        self.outputs.append(self._make.make_tensor_value_info(name, ONNX_TYPES[dtype], list(shape)))

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """One operation with one output, whose name is returned; an input "" is one left out."""
        return self.several(kind, 1, *inputs, **attributes)[0]

    def several(self, kind: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """One operation with several outputs."""
        names = [f"v{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(self._make.make_node(kind, list(inputs), names, **attributes))
        return names

    def constant(self, values: Any, dtype: torch.dtype) -> str:
        """Numbers, or a tensor, as a value of the graph; equal ones are kept once."""
        tensor = values.detach() if isinstance(values, Tensor) else torch.tensor(values)
        array = np.ascontiguousarray(tensor.to("cpu", dtype).numpy()).reshape(tuple(tensor.shape)).copy()
        key = hashlib.sha256(f"{array.dtype}{array.shape}".encode() + array.tobytes()).digest()
        if key not in self.constants:
            self.constants[key] = (f"c{len(self.constants)}", array)
        return self.constants[key][0]

    def whole(self, *numbers: int) -> str:
        """int64 `[n]`."""
        return self.constant(torch.tensor(numbers, dtype=torch.int64), torch.int64)

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        return self.node("Reshape", value, self.whole(*shape))

    def cast(self, value: str, before: torch.dtype, after: torch.dtype) -> str:
        return value if before == after else self.node("Cast", value, to=ONNX_TYPES[after])

    def model(self, constants: Sequence[Any] | None = None) -> Any:
        """The `ModelProto`; with `constants` in place of its own."""
        from onnx import numpy_helper

        if constants is None:
            constants = [numpy_helper.from_array(array, name) for name, array in self.constants.values()]
        graph = self._make.make_graph(self.nodes, "score", self.inputs, self.outputs, initializer=constants)
        return self._make.make_model(
            graph,
            opset_imports=[self._make.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="secondread",
        )

    def write(self, folder: Path, name: str = MODEL_FILE) -> tuple[str, ...]:
        """The names of the files written: the graph's, and where its constants are many that of the large."""
        if self.bytes_of_constants <= MOST_IN_ONE_FILE:
            (folder / name).write_bytes(self.model().SerializeToString())
            return (name,)
        beside = f"{name}.data"
        with (folder / beside).open("wb") as file:
            constants = [self._kept(called, array, file, beside) for called, array in self.constants.values()]
        (folder / name).write_bytes(self.model(constants).SerializeToString())
        return (name, beside)

    def _kept(self, called: str, array: NDArray[Any], file: BinaryIO, beside: str) -> Any:
        """The `TensorProto` of a constant, which a large one has written into the file beside the graph."""
        from onnx import TensorProto, numpy_helper

        if array.nbytes < LARGE:
            return numpy_helper.from_array(array, called)
        file.write(bytes(-file.tell() % PAGE))
        at = file.tell()
        file.write(array.data)
        found = TensorProto(
            name=called,
            dims=array.shape,
            data_type=self._make.np_dtype_to_tensor_dtype(array.dtype),
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in (("location", beside), ("offset", str(at)), ("length", str(array.nbytes))):
            found.external_data.add(key=key, value=value)
        return found
