"""A computation of torch, written as an ONNX graph while it runs on one example."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.weak import WeakIdKeyDictionary

from secondread.exporting.no_graph import NoGraphError
from secondread.exporting.onnx_graph import OnnxGraph
from secondread.exporting.operations import writer_of

READS_VALUES = "asks for a value in the midst of the computation, which then goes on by it"
DRAWS = "draws random numbers of its own"
DRAWS_IN_TRAINING = frozenset({"dropout", "native_dropout", "_scaled_dot_product_flash_attention_for_cpu"})
OF_SHAPE_ALONE = frozenset(
    {"zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full",
     "new_empty_strided"}
)  # fmt: skip
LEAVES_TORCH = (Tensor.numpy, Tensor.tolist, Tensor.__array__, Tensor.item)


class Tape(TorchDispatchMode):
    """Within it every operation on what follows from the inputs becomes nodes of `graph`; all else runs as
    ever, and what the nodes need of it becomes constants.

    Tensors that are changed in place are values of their own from then on; views of them are read again from
    what they are views of.

    NoGraphError where an operation has no counterpart, asks for a value, or draws.
    """

    def __init__(self) -> None:
        super().__init__()
        self.graph = OnnxGraph()
        self._known: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self._leaving = _Leaving(self)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would load its compiler for nothing

    def __enter__(self) -> Tape:
        self._leaving.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *how: Any) -> None:
        super().__exit__(*how)
        self._leaving.__exit__(*how)

    def input(self, name: str, tensor: Tensor) -> None:
        self._bind(tensor, self.graph.input(name, tensor.shape, tensor.dtype))

    def output(self, name: str, tensor: Tensor) -> None:
        self.graph.output(name, self.name(tensor), tensor.shape, tensor.dtype)

    def knows(self, tensor: Tensor) -> bool:
        """Whether it follows from an input."""
        return tensor in self._known or (tensor._base is not None and tensor._base in self._known)

    def name(self, tensor: Tensor) -> str:
        """Of a tensor's value in the graph; of a constant where it follows from no input."""
        name, version = self._known.get(tensor, ("", -1))
        if version == tensor._version:
            return str(name)
        if tensor._base is not None and tensor._base in self._known:
            flat = self.graph.reshape(self.name(tensor._base), (-1,))
            name = self.graph.node("Gather", flat, self.graph.constant(_places(tensor), torch.int64))
            self._bind(tensor, name)
            return str(name)
        if name:
            raise NoGraphError("changes a tensor in place through another one")
        with torch.utils._python_dispatch._disable_current_modes():
            return self.graph.constant(tensor, tensor.dtype)

    def __torch_dispatch__(
        self, called: Any, types: Iterable[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        operation = called._schema.name.removeprefix("aten::")
        given = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
        known = any(self.knows(tensor) for tensor in given)
        if torch.Tag.nondeterministic_seeded in called.tags and operation not in DRAWS_IN_TRAINING:
            raise NoGraphError(DRAWS)
        in_place = operation.endswith("_") and not operation.endswith("__")
        if not known or operation in OF_SHAPE_ALONE:
            return called(*args, **kwargs)
        write = writer_of(operation.removesuffix("_") if in_place else operation, called)
        if in_place or "out" in kwargs:
            return self._in_place(called, write, args, kwargs)
        found = called(*args, **kwargs)
        leaves = [found] if isinstance(found, Tensor) else tree_flatten(found)[0]
        if not all(leaf is None or isinstance(leaf, Tensor) for leaf in leaves):
            raise NoGraphError(READS_VALUES)
        names = write(self, found, *args, **kwargs)
        for leaf, name in zip(leaves, [names] if isinstance(names, str) else names, strict=False):
            if leaf is not None:
                self._bind(leaf, name)
        return found

    def _in_place(self, called: Any, write: Any, args: Sequence[Any], kwargs: Any) -> Any:
        changed = kwargs["out"] if "out" in kwargs else args[0]
        plain = torch.empty(changed.shape, dtype=changed.dtype)  # what its shape and type will be
        name = write(self, plain, *args, **{key: value for key, value in kwargs.items() if key != "out"})
        base = changed._base
        if base is not None:
            flat = self.graph.reshape(self.name(base), (-1,))
            places = self.graph.constant(_places(changed).flatten(), torch.int64)
            put = self.graph.node("ScatterElements", flat, places, self.graph.reshape(name, (-1,)), axis=0)
            whole = self.graph.reshape(put, base.shape)
        found = called(*args, **kwargs)
        if base is not None:
            self._bind(base, whole, base._version + 1)
        self._bind(changed, name, changed._version + 1)
        return found

    def _bind(self, tensor: Tensor, name: str, version: int | None = None) -> None:
        self._known[tensor] = (name, tensor._version if version is None else version)


class _Leaving(TorchFunctionMode):
    """Refuses that a value of the graph becomes an array or a number of Python."""

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.tape = tape

    def __torch_function__(self, called: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if called in LEAVES_TORCH and self.tape.knows(args[0]):
            raise NoGraphError(READS_VALUES)
        return called(*args, **(kwargs or {}))


def _places(view: Tensor) -> Tensor:
    """Of each element of a view: which element of its flattened base it is."""
    base = view._base
    assert base is not None
    with torch.utils._python_dispatch._disable_current_modes():
        laid = torch.empty_strided(base.shape, base.stride(), dtype=torch.int64)
        laid.copy_(torch.arange(base.numel()).view(base.shape))
        offset = view.storage_offset() - base.storage_offset()
        return laid.as_strided(view.shape, view.stride(), offset).clone()
