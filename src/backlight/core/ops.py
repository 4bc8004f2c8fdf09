"""Operations as rules see them: where one ran, what went in and out, its linear map and its transpose."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, Self, TypeVar, get_args

import torch
from torch import Tensor


@dataclass(frozen=True)
class Site:
    """Where an operation ran. `index` counts executed operations that depend on the input, from 0."""

    name: str
    kind: str
    path: str
    module: str
    index: int

    def __str__(self) -> str:
        return f"{self.name} in {self.path or 'the model'} ({self.module}), operation {self.index}"


@dataclass
class Call:
    """One intercepted call with its arguments by name; `signals` are those that depend on the input."""

    site: Site
    function: Callable[..., Any]
    arguments: dict[str, Any]
    signals: tuple[Tensor, ...]


class Derived:
    """Tensors derived from parameters (merged, clipped, squared …), made once per explained model.

    A source is known by its storage, so that `weight.T` taken anew for every batch is the same source; an
    entry keeps its sources alive, so that a storage is never mistaken for a later one at its address.
    Versions tell a parameter that was changed in place; through `.data`, behind torch's back, `notice` does.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[tuple[Tensor, ...], tuple[int, ...], Any]] = {}
        self._used: set[Hashable] = set()
        self._digest: list[int] = []

    def notice(self, tensors: Iterable[Tensor]) -> None:
        """Forget everything if a sample of the tensors' values is not what it was when last asked.

        Up to 256 values of each are looked at, which takes milliseconds; a change of few others is missed.
        """
        digest = _digest(tensors)
        if digest != self._digest:
            self.clear()
        self._digest = digest

    def clear(self) -> None:
        """Forget everything."""
        self._entries = {}

    def get(self, tag: Hashable, sources: tuple[Tensor, ...], make: Callable[[], Any]) -> Any:
        """Return the value made for `tag` from `sources`, calling `make` when it is new or out of date."""
        key = (tag, *((t.data_ptr(), t.shape, t.stride(), t.dtype) for t in sources))
        versions = tuple(_version(t) for t in sources)
        found = self._entries.get(key)
        if found is None or found[1] != versions:
            with torch.no_grad():
                found = (sources, versions, make())
            self._entries[key] = found
        self._used.add(key)
        return found[2]

    def sweep(self) -> None:
        """Forget what was not used since the last sweep, as what came of weights made anew for a batch."""
        self._entries = {key: entry for key, entry in self._entries.items() if key in self._used}
        self._used = set()

    def __len__(self) -> int:
        return len(self._entries)


class Fresh(Derived):
    """Derives anew every time, attached to its sources: for relevance that is to be differentiated."""

    def get(self, tag: Hashable, sources: tuple[Tensor, ...], make: Callable[[], Any]) -> Any:
        """Return what `make` makes."""
        return make()


_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _digest(tensors: Iterable[Tensor]) -> list[int]:
    """Return a number for each tensor that depends on the bits of up to 256 of its values."""
    sums = []
    for tensor in tensors:
        if tensor.layout != torch.strided or tensor.numel() == 0 or tensor.element_size() not in _BITS:
            continue
        step = -(-tensor.numel() // 256)
        count = -(-tensor.numel() // step)
        if not (tensor.is_contiguous() or tensor.is_contiguous(memory_format=torch.channels_last)):
            sample = tensor.detach().flatten()[::step]
        else:  # in the order of memory, whatever its layout
            sample = tensor.detach().as_strided((count,), (step,), tensor.storage_offset())
        bits = sample.view(_BITS[tensor.element_size()]).long()
        sums.append((bits * torch.arange(1, 2 * count, 2, device=bits.device)).sum())
    return [number for group in _by_device(sums) for number in torch.stack(group).tolist()]


def _by_device(tensors: list[Tensor]) -> list[list[Tensor]]:
    devices = dict.fromkeys(t.device for t in tensors)
    return [[t for t in tensors if t.device == device] for device in devices]


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


class LinearMap(Protocol):
    """A bias-free map that is linear in its input and in its weight."""

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return x·W."""

    def transpose(self, s: Tensor, weight: Tensor, like: Tensor) -> Tensor:
        """Return sᵀW, shaped like the input `like`."""

    def on_inputs(self, values: Tensor) -> Tensor:
        """Return (inputs,) values broadcastable over the input, e.g. one bound per channel."""

    def on_outputs(self, values: Tensor) -> Tensor:
        """Return (outputs,) values broadcastable over the output, e.g. a bias."""

    def scale_weight(self, weight: Tensor, factor: Tensor) -> Tensor:
        """Return the weight with every output channel multiplied by its entry of `factor`, (outputs,)."""


@dataclass(frozen=True)
class DenseMap:
    """x·Wᵀ over the last axis; weight (outputs, inputs)."""

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return x·Wᵀ."""
        return torch.nn.functional.linear(x, weight)

    def transpose(self, s: Tensor, weight: Tensor, like: Tensor) -> Tensor:
        """Return s·W."""
        return s @ weight

    def on_inputs(self, values: Tensor) -> Tensor:
        """Return the values as they are: inputs are the last axis."""
        return values

    def on_outputs(self, values: Tensor) -> Tensor:
        """Return the values as they are: outputs are the last axis."""
        return values

    def scale_weight(self, weight: Tensor, factor: Tensor) -> Tensor:
        """Return the weight with scaled rows."""
        return weight * factor[:, None]


@dataclass(frozen=True)
class ConvolutionMap:
    """Convolution or transposed convolution in one to three dimensions, zero padding.

    uneven: zeros before and after each axis, last axis first, that an even kernel with padding "same" needs.
    """

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    transposed: bool = False
    output_padding: tuple[int, ...] = ()
    uneven: tuple[int, ...] = ()

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the convolution without bias."""
        padded = torch.nn.functional.pad(x, self.uneven) if self.uneven else x
        out: Tensor = torch.ops.aten.convolution(padded, weight, None, *self._geometry())
        return out

    def transpose(self, s: Tensor, weight: Tensor, like: Tensor) -> Tensor:
        """Return the gradient of the convolution with respect to its input."""
        padded = torch.nn.functional.pad(like, self.uneven) if self.uneven else like
        mask = [True, False, False]
        grad: Tensor = torch.ops.aten.convolution_backward(s, padded, weight, None, *self._geometry(), mask)[
            0
        ]
        return torch.nn.functional.pad(grad, tuple(-n for n in self.uneven)) if self.uneven else grad

    def on_inputs(self, values: Tensor) -> Tensor:
        """Return (C, 1, …)."""
        return values.reshape(-1, *(1 for _ in self.stride))

    def on_outputs(self, values: Tensor) -> Tensor:
        """Return (C, 1, …)."""
        return values.reshape(-1, *(1 for _ in self.stride))

    def scale_weight(self, weight: Tensor, factor: Tensor) -> Tensor:
        """Return the weight with scaled output channels (axis 1, grouped, when transposed)."""
        ones = (1,) * len(self.stride)
        if not self.transposed:
            return weight * factor.reshape(-1, 1, *ones)
        groups = weight.reshape(self.groups, -1, *weight.shape[1:])
        return (groups * factor.reshape(self.groups, 1, -1, *ones)).reshape(weight.shape)

    def _geometry(self) -> tuple[Any, ...]:
        output_padding = self.output_padding or (0,) * len(self.stride)
        return self.stride, self.padding, self.dilation, self.transposed, output_padding, self.groups


@dataclass(frozen=True)
class ChannelMap:
    """Every channel times its own factor, as batch norm with fixed statistics does; weight (channels,).

    dims: number of axes after the channels'.
    """

    dims: int

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return x·w."""
        return x * self.on_inputs(weight)

    def transpose(self, s: Tensor, weight: Tensor, like: Tensor) -> Tensor:
        """Return s·w, which is the map itself."""
        return s * self.on_inputs(weight)

    def on_inputs(self, values: Tensor) -> Tensor:
        """Return (C, 1, …)."""
        return values.reshape(-1, *(1 for _ in range(self.dims)))

    def on_outputs(self, values: Tensor) -> Tensor:
        """Return (C, 1, …)."""
        return self.on_inputs(values)

    def scale_weight(self, weight: Tensor, factor: Tensor) -> Tensor:
        """Return the factors times `factor`."""
        return weight * factor


@dataclass
class Op:
    """An executed operation: detached inputs and output, and its own vector-Jacobian product.

    derived: tensors derived from parameters, shared by all batches. memo: intermediate results of this
    execution, shared by all targets. arguments: the call's arguments by name, for kinds whose rules need them
    (normalisation, softmax, max-pool). origins: for products, which operation made each input (see
    core.interception.lineage). replay, constants: in a differentiable explanation, what computes the output
    from inputs and parameters, and these parameters.
    """

    site: Site
    inputs: tuple[Tensor, ...]
    output: Tensor
    derived: Derived
    pull: Callable[[Tensor], tuple[Tensor | None, ...]] | None = field(default=None, repr=False)
    memo: dict[str, Any] = field(default_factory=dict, repr=False)
    arguments: dict[str, Any] = field(default_factory=dict, repr=False)
    origins: tuple[str, ...] = ()
    replay: Callable[[Sequence[Tensor]], Tensor] | None = field(default=None, repr=False)
    constants: tuple[Tensor, ...] = field(default=(), repr=False)

    @property
    def input(self) -> Tensor:
        """The only input, or the first."""
        return self.inputs[0]

    def vjp(self, s: Tensor) -> tuple[Tensor | None, ...]:
        """Return the vector-Jacobian product of the operation with `s`, one per input."""
        if self.pull is None:
            raise NotImplementedError(f"{self.site} has no vector-Jacobian product")
        return self.pull(s)

    @property
    def attachable(self) -> tuple[Tensor, ...]:
        """Parameters that a derivative of the relevance may be asked of; none in other explanations."""
        return self.constants

    def compute(self, values: Sequence[Tensor]) -> Tensor:
        """Return the output for other inputs, followed by other `attachable` parameters."""
        if self.replay is None:
            raise NotImplementedError(f"{self.site} cannot be computed again")
        return self.replay(values)

    def attached(self, inputs: tuple[Tensor, ...], output: Tensor) -> Self:
        """Return the operation with tensors that a derivative can go through, in the place of its own."""
        memo = {key: value for key, value in self.memo.items() if isinstance(value, bool)}

        def pull(s: Tensor) -> tuple[Tensor | None, ...]:
            wanted = [separate(x) for x in inputs]
            made = self.compute((*wanted, *self.attachable))
            return torch.autograd.grad(made, wanted, s.to(made.dtype), create_graph=True, allow_unused=True)

        return replace(self, inputs=inputs, output=output, memo=memo, pull=pull)

    def remember(self, key: str, make: Callable[[], Any]) -> Any:
        """Return what `make` computed for this execution under `key`, computing it at most once."""
        if key not in self.memo:
            self.memo[key] = make()
        return self.memo[key]


@dataclass
class AffineOp(Op):
    """x·W + b: a dense layer or convolution, possibly with a batch norm merged into W and b.

    bias: (outputs,), or broadcastable over the output where it depends on the position.
    """

    map: LinearMap = field(default_factory=DenseMap)
    weight: Tensor = field(default_factory=lambda: torch.empty(0))
    bias: Tensor | None = None

    def vjp(self, s: Tensor) -> tuple[Tensor | None, ...]:
        """Return (sᵀW,)."""
        return (self.transpose(s),)

    @property
    def attachable(self) -> tuple[Tensor, ...]:
        """Weight and bias where they are parameters to differentiate by."""
        return tuple(p for p in (self.weight, self.bias) if p is not None and p.requires_grad)

    def compute(self, values: Sequence[Tensor]) -> Tensor:
        """Return x·W + b for another input, followed by another weight and bias where they are attachable."""
        x, *others = values
        given = iter(others)
        weight = next(given) if self.weight.requires_grad else self.weight
        bias = next(given) if self.bias is not None and self.bias.requires_grad else self.bias
        made = self.map.apply(x, weight)
        return made if bias is None else made + self._over_outputs(bias)

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return x·W without bias, with the operation's weight or another of its shape."""
        return self.map.apply(x, self.weight if weight is None else weight)

    def transpose(self, s: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return sᵀW, shaped like the input."""
        return self.map.transpose(s, self.weight if weight is None else weight, self.input)

    def contributions(self, s: Tensor, weight: Tensor | None = None, x: Tensor | None = None) -> Tensor:
        """Return x ⊙ sᵀW, in the memory of sᵀW where nothing differentiates it. x: the input unless given."""
        pulled, x = self.transpose(s, weight), self.input if x is None else x
        if torch.is_grad_enabled() or not isinstance(self.map, (DenseMap, ConvolutionMap, ChannelMap)):
            return x * pulled
        return pulled.mul_(x)

    def derive(self, tag: str, make: Callable[[Tensor], Tensor]) -> Tensor:
        """Return make(weight), computed once per explained model for each `tag`."""
        made: Tensor = self.derived.get(tag, (self.weight,), lambda: make(self.weight))
        return made

    @property
    def positive_weight(self) -> Tensor:
        """W⁺."""
        return self.derive("positive", lambda w: w.clamp(min=0))

    @property
    def negative_weight(self) -> Tensor:
        """W⁻."""
        return self.derive("negative", lambda w: w.clamp(max=0))

    @property
    def absolute_weight(self) -> Tensor:
        """|W|."""
        return self.derive("absolute", torch.abs)

    @property
    def bias_term(self) -> Tensor | None:
        """The bias, broadcastable over the output, or None."""
        return None if self.bias is None else self._over_outputs(self.bias)

    def _over_outputs(self, bias: Tensor) -> Tensor:
        return bias if bias.ndim > 1 else self.map.on_outputs(bias)

    @property
    def non_negative_input(self) -> bool:
        """Whether every input is >= 0, as after a ReLU; then the negative half of many formulas vanishes."""
        found: bool = self.remember("non-negative", lambda: bool(self.input.detach().amin() >= 0))
        return found

    @property
    def positive_part(self) -> Tensor:
        """x⁺·W⁺ + x⁻·W⁻ + b⁺: the sum of all positive contributions, summed without cancellation."""
        made: Tensor = self.remember(
            "positive part", lambda: self._part(self.positive_weight, self.negative_weight, 1)
        )
        return made

    @property
    def negative_part(self) -> Tensor:
        """x⁺·W⁻ + x⁻·W⁺ + b⁻: the sum of all negative contributions, what is left of the output."""
        if self.non_negative_input and not isinstance(self.map, ChannelMap):  # rounding would be all of it
            made: Tensor = self.remember(
                "negative part", lambda: (self.output - self.positive_part).clamp(max=0)
            )
        else:
            made = self.remember(
                "negative part", lambda: self._part(self.negative_weight, self.positive_weight, -1)
            )
        return made

    def _part(self, high: Tensor, low: Tensor, sign: int) -> Tensor:
        """Return x⁺·high + x⁻·low and the part of the bias that has the sign."""
        if self.non_negative_input:
            total = self.forward(self.input, high)
        else:
            total = self.forward(self.input.clamp(min=0), high) + self.forward(self.input.clamp(max=0), low)
        term = self.bias_term
        return total if term is None else total + (term.clamp(min=0) if sign > 0 else term.clamp(max=0))

    def without(self, parameters: tuple[str, ...]) -> AffineOp:
        """Return the operation with the named parameters ("weight", "bias") taken as zero."""
        if "weight" not in parameters and ("bias" not in parameters or self.bias is None):
            return self
        key = f"without {parameters}"
        made: AffineOp = self.remember(key, lambda: self._without(parameters))
        return made

    def _without(self, parameters: tuple[str, ...]) -> AffineOp:
        weight = torch.zeros_like(self.weight) if "weight" in parameters else self.weight
        bias = None if "bias" in parameters else self.bias
        if "weight" in parameters:
            term = None if bias is None else self.bias_term
            output = self.map.apply(self.input, weight) + (0 if term is None else term)
        else:
            term = self.bias_term
            output = self.output if term is None else self.output - term
        return AffineOp(self.site, self.inputs, output, self.derived, map=self.map, weight=weight, bias=bias)


def separate(tensor: Tensor) -> Tensor:
    """Return the same tensor as a new end for gradients: one input may have been computed from another."""
    return tensor.view_as(tensor) if tensor.requires_grad else tensor


AnyOp = TypeVar("AnyOp", bound=Op)


def widened(op: AnyOp) -> AnyOp:
    """Return the operation in float32: half precision is kept for transport, not for sums and quotients."""
    tensors: dict[str, Any] = {"inputs": tuple(x.float() for x in op.inputs), "output": op.output.float()}
    if isinstance(op, AffineOp):
        tensors["weight"] = op.derived.get("wide", (op.weight,), op.weight.float)
        tensors["bias"] = None if op.bias is None else op.bias.float()
    return replace(op, **tensors)


Stabiliser = Literal["sign", "clip", "norm"]
STABILISERS: tuple[str, ...] = get_args(Stabiliser)
"""How a denominator is kept from zero: add ε, clip the magnitude at ε, or add ε times the sample's rms."""


def stabilize(z: Tensor, epsilon: float, how: Stabiliser = "sign") -> Tensor:
    """Return z kept from zero with its own sign, sgn(0) = +1; z unchanged for epsilon = 0.

    how: "sign" z + sgn(z)·ε; "clip" sgn(z)·max(|z|, ε); "norm" z + sgn(z)·ε·rms(z), the mean being over each
        sample.
    """
    if epsilon == 0:
        return z
    # A zero-dimensional tensor of z's own type: as a Python number, it would be rounded to float32.
    # copysign takes -0 for negative; a sum is -0 only where every contribution, so every share, is zero.
    size = z.new_full((), epsilon)
    if how not in STABILISERS:
        raise ValueError(f"stabiliser is {how!r}, expected one of {', '.join(STABILISERS)}")
    if how == "clip":
        return torch.where(z.abs() < size, torch.copysign(size, z), z)
    if how == "norm":
        size = size * z.square().mean(dim=tuple(range(1, z.ndim)), keepdim=True).sqrt()
    signed = torch.copysign(size, z)
    return signed + z if torch.is_grad_enabled() else signed.add_(z)


def quotient(relevance: Tensor, z: Tensor, epsilon: float, how: Stabiliser = "sign") -> Tensor:
    """Return relevance / stabilize(z), in the memory of the denominator where nothing differentiates it."""
    denominator = stabilize(z, epsilon, how)
    if torch.is_grad_enabled() or epsilon == 0 or denominator.shape != relevance.shape:
        return relevance / denominator
    return torch.div(relevance, denominator, out=denominator)


def unbroadcast(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Sum `tensor` over the axes along which an operand of `shape` was broadcast."""
    return tensor.sum_to_size(shape) if tensor.shape != shape else tensor
