"""One forward pass, written down: which layer ran each operation, its MACs, and which activations it kept alive."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from labcore.metrics.calls import call, check_batch, check_model
from labcore.training import evaluating

__all__ = ["Recording", "record"]

aten = torch.ops.aten

# Elementwise in evaluation mode, though PyTorch does not tag them so.
_ELEMENTWISE = {aten._native_batch_norm_legit_no_training, aten.hardswish, aten._prelu_kernel}


def _attention_flops(query, key, value, *args, out_shape=None, **kwargs) -> int:
    return sdpa_flop_count(query, key, value)


def _product_flops(first, second, *args, out_shape=None, **kwargs) -> int:
    """Of a matrix (or vector) and a matrix or vector."""
    return 2 * int(np.prod(first)) * (second[1] if len(second) == 2 else 1)


def _recurrent_flops(inputs, weight_input, weight_hidden, *args, out_shape=None, **kwargs) -> int:
    """Every step multiplies its input and the last state; shapes (T, N, I), (G, I), (G, H)."""
    return 2 * inputs[0] * inputs[1] * weight_input[0] * (weight_input[1] + weight_hidden[1])


# Operations that PyTorch's counter has no formula for and would count as nothing.
_MORE_FORMULAS = {
    aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    aten._int_mm: _product_flops,
    aten.mv: _product_flops,
    aten.dot: _product_flops,
    aten.mkldnn_rnn_layer: _recurrent_flops,
}


class Recording(TorchDispatchMode):
    """The operations of one forward pass, by the name of the module that called them; for the whole batch.

    A storage lives from the operation that makes it to the last one that reads it; the result lives to the end.
    What nobody reads is not kept. Views make no storage. Parameters, buffers and whatever else does not depend on the
    batch are no activations.

    Attributes:
        macs: by module name; functional calls belong to the module that makes them.
        output_bytes: by module name, the largest output of its calls.
        total_macs: of the pass, as PyTorch's counter has it.
    """

    def __init__(self, model: nn.Module, batch: Tensor):
        super().__init__()
        self.macs: dict[str, int] = {}
        self.output_bytes: dict[str, int] = {}
        self.total_macs = 0
        self._names = {module: name or type(model).__name__ for name, module in model.named_modules()}
        self._running: list[str] = [self._names[model]]
        self._counter = FlopCounterMode(display=False, custom_mapping=_MORE_FORMULAS)
        self._steps: list[str] = []  # the module of each operation
        self._held: list[torch.UntypedStorage] = []  # so that no address is used twice
        self._fixed = {_storage_id(tensor) for tensor in (*model.parameters(), *model.buffers())}
        self._dependent: set[int] = set()  # on the batch
        self._n_bytes: dict[int, int] = {}
        self._born: dict[int, int] = {}
        self._last_read: dict[int, int] = {}
        self._successors: list[tuple[int, list[int]]] = []  # an elementwise result, what it may overwrite
        self._make(batch, 0)

    def run(self, model: nn.Module, batch: Tensor) -> None:
        # The counter stands inside: it takes composite operations apart before they are recorded.
        with self, self._counter, self._watching():
            outputs = call(model, batch)
            self._settle()
        for tensor in _tensors(outputs):
            self._last_read[_storage_id(tensor)] = len(self._steps)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        inputs, outputs = _tensors((args, kwargs)), _tensors(result)
        read, in_place = {_storage_id(tensor) for tensor in inputs}, function._schema.is_mutable
        written = [tensor for tensor in outputs if in_place or _storage_id(tensor) not in read]
        if outputs and not written:
            return result  # a view
        step = len(self._steps)
        self._steps.append(self._running[-1])
        self._last_read.update(dict.fromkeys(read, step))
        self._held += [tensor.untyped_storage() for tensor in written]
        if not read.isdisjoint(self._dependent):
            for tensor in written:
                self._make(tensor, step)
            if not in_place and (torch.Tag.pointwise in function.tags or function._overloadpacket in _ELEMENTWISE):
                self._successors.append((_storage_id(written[0]), _overwritable(inputs, written[0])))
        return result

    def peaks(self) -> tuple[int, dict[str, int]]:
        """Most bytes alive at once: during the pass, and while each module itself ran an operation."""
        alive = np.zeros(len(self._steps) + 2, dtype=np.int64)
        for storage, last in self._lifetimes().items():
            alive[self._born[storage]] += self._n_bytes[storage]
            alive[last + 1] -= self._n_bytes[storage]
        alive = alive.cumsum()
        by_module: dict[str, int] = {}
        for name, n_bytes in zip(self._steps, alive.tolist(), strict=False):
            by_module[name] = max(by_module.get(name, 0), n_bytes)
        return int(alive.max()), by_module

    def _lifetimes(self) -> dict[int, int]:
        """Last step of every activation that is kept; one that is overwritten ends a step before its last reader."""
        last = {storage: step for storage, step in self._last_read.items() if storage in self._born}
        for storage, candidates in self._successors:
            for candidate in candidates:
                if storage in last and last.get(candidate) == self._born[storage]:
                    last[candidate] -= 1
                    break
        return last

    def _make(self, tensor: Tensor, step: int) -> None:
        storage = _storage_id(tensor)
        self._dependent.add(storage)
        if storage not in self._fixed:
            self._born.setdefault(storage, step)
            self._n_bytes[storage] = tensor.untyped_storage().nbytes()

    def _settle(self) -> None:
        """Give the MACs counted since the last call to the module that has been running."""
        total = self._counter.get_total_flops() // 2
        self.macs[self._running[-1]] = self.macs.get(self._running[-1], 0) + total - self.total_macs
        self.total_macs = total

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        def enter(module, inputs):
            self._settle()
            self._running.append(self._names[module])

        def leave(module, inputs, output):
            self._settle()
            name = self._running.pop()
            n_bytes = sum(tensor.numel() * tensor.element_size() for tensor in _tensors(output))
            self.output_bytes[name] = max(self.output_bytes.get(name, 0), n_bytes)

        handles = [module.register_forward_pre_hook(enter) for module in self._names]
        handles += [module.register_forward_hook(leave, always_call=True) for module in self._names]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


@contextlib.contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """No parameter wants a gradient: PyTorch's counter fails where a module is handed one that does."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def record(model: nn.Module, sample: Tensor) -> Recording:
    """Run `model` once on a batch, in evaluation mode, and write the pass down; the model is left as it was.

    Raises:
        TypeError, ValueError: no module, no tensor, an empty batch, or one that the model cannot take.
    """
    check_model(model)
    check_batch(sample)
    batch = sample.detach().clone(memory_format=torch.contiguous_format)  # a storage of its own
    recording = Recording(model, batch)
    with evaluating(model), _frozen(model), _open_attention():
        recording.run(model, batch)
    return recording


@contextlib.contextmanager
def _open_attention() -> Iterator[None]:
    # PyTorch's fused transformer layer is one operation in which nothing can be counted.
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _tensors(structure: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(structure) if isinstance(leaf, Tensor)]


def _storage_id(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _overwritable(inputs: list[Tensor], result: Tensor) -> list[int]:
    """Storages of inputs that an elementwise result may take over: as large, and read in the order it is written."""
    unfit = {_storage_id(tensor) for tensor in inputs if _layout(tensor) != _layout(result)}
    n_bytes = result.untyped_storage().nbytes()
    return [
        _storage_id(tensor)
        for tensor in inputs
        if tensor.untyped_storage().nbytes() == n_bytes and _storage_id(tensor) not in unfit
    ]


def _layout(tensor: Tensor) -> tuple:
    return tensor.shape, tuple(step for step, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1)
