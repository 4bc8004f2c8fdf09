"""Operations as rules see them: where one ran, what went in and out, its linear map and its transpose."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, TypeVar, get_args

import torch
from torch import Tensor

from backlight.core.derived import Derived
from backlight.core.linear_maps import ChannelMap, DenseMap, FunctionMap, LinearMap


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
        if torch.is_grad_enabled() or isinstance(self.map, FunctionMap):
            return x * pulled
        return pulled.mul_(x)

    def derive(self, tag: str, make: Callable[[Tensor], Tensor]) -> Tensor:
        """Return make(weight), computed once per explained model for each `tag`."""
        made: Tensor = self.derived.get(tag, (self.weight,), lambda: make(self.weight))
        return made

    def derive_for_shape(self, tag: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """Return what `make` makes of parameters and shapes, computed once for each shape of the input."""
        if isinstance(self.map, FunctionMap):  # any function: which other is the same map is not known
            return make()
        key = (tag, self.map, self.input.shape[1:], self.input.dtype)
        sources = (self.weight,) if self.bias is None else (self.weight, self.bias)
        made: Tensor = self.derived.get(key, sources, make)
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
