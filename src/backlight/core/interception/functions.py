"""Which torch functions the engine knows: what kind of operation each is, and how to read its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from backlight.core.linear_maps import ConvolutionMap

ROUTE = "route"
"""Kind of operations that move, copy or select values: relevance follows their gradient."""

CONCATENATIONS = ("cat", "concat", "concatenate")


@dataclass(frozen=True)
class Function:
    """One operation under all its spellings.

    name, kind: as in core.ops.Site. functional: the out-of-place spelling that computes it.
    inplace: whether this spelling changes its first argument.
    """

    name: str
    kind: str
    functional: Callable[..., Any]
    inplace: bool = False

    def bind(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], bool]:
        """Return arguments without a true `inplace` flag, and whether there was one."""
        if self.inplace:
            return args, kwargs, True
        position = _INPLACE_POSITION.get(self.functional)
        if position is None:
            return args, kwargs, False
        if kwargs.get("inplace"):
            return args, {**kwargs, "inplace": False}, True
        if len(args) > position and args[position]:
            return (*args[:position], False, *args[position + 1 :]), kwargs, True
        return args, kwargs, False


_NAMESPACES = (F, torch, Tensor, torch._C._nn, torch.special, torch.linalg)


def _names(text: str) -> dict[str, tuple[str, ...]]:
    """Return operations that are spelt by their name alone."""
    return dict.fromkeys(text.split(), ())


# name of the operation -> further spellings, looked up in every namespace, with and without a trailing "_"
_KINDS: dict[str, dict[str, tuple[str, ...]]] = {
    "linear": _names("linear"),
    "convolution": _names("conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"),
    "batch-norm": _names("batch_norm"),
    "activation": _names(
        """relu relu6 hardtanh leaky_relu elu celu selu gelu silu mish hardswish softplus softsign
        softshrink hardshrink tanhshrink threshold rrelu prelu logsigmoid sigmoid hardsigmoid tanh
        clamp clamp_min clamp_max abs log_softmax exp expm1 log log1p sqrt rsqrt reciprocal square
        pow erf sin cos atan"""
    )
    | {"sigmoid": ("expit",), "clamp": ("clip",), "pow": ("__pow__", "__rpow__")},
    # parameter-free linear operations
    "sum": {
        "add": ("__add__", "__radd__", "__iadd__"),
        "sub": ("subtract", "__sub__", "__isub__"),
        "rsub": ("__rsub__",),
    }
    | _names("sum nansum cumsum interpolate upsample grid_sample fold trace diff"),
    # averages, and norms that grow in proportion to their input
    "average-pool": _names(
        """avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
        mean nanmean lp_pool1d lp_pool2d lp_pool3d std norm vector_norm"""
    ),
    "max-pool": {
        name + end: ()
        for name in (f"{adaptive}max_pool{d}d" for adaptive in ("", "adaptive_") for d in (1, 2, 3))
        for end in ("", "_with_indices")
    },
    "product": {
        "mul": ("multiply", "__mul__", "__rmul__", "__imul__"),
        "div": ("divide", "true_divide", "__truediv__", "__itruediv__"),
    },
    "scale": {"neg": ("negative", "__neg__"), "rdiv": ("__rdiv__", "__rtruediv__")},
    "matmul": {"matmul": ("__matmul__", "__rmatmul__"), "dot": ("vdot",), "outer": ("ger",)}
    | _names("bmm mm mv einsum bilinear tensordot inner"),
    "softmax": {"softmax": ("_softmax",)},
    "normalisation": _names("layer_norm group_norm instance_norm rms_norm normalize"),
    ROUTE: _names(
        """view view_as reshape reshape_as flatten ravel unflatten permute transpose swapaxes swapdims
        t movedim moveaxis adjoint squeeze unsqueeze expand expand_as broadcast_to repeat
        repeat_interleave tile contiguous clone cat concat concatenate stack hstack vstack split
        split_with_sizes tensor_split chunk unbind narrow select index_select gather take_along_dim
        masked_select __getitem__ pad roll flip fliplr flipud rot90 dropout dropout1d dropout2d
        dropout3d alpha_dropout feature_alpha_dropout feature_dropout pixel_shuffle pixel_unshuffle
        channel_shuffle native_channel_shuffle unfold max min amax amin maximum minimum max_unpool1d
        max_unpool2d max_unpool3d to float double half bfloat16 type type_as cpu cuda diagonal
        diag_embed tril triu masked_fill where sort topk scatter index_add nan_to_num"""
    ),
}


def _spellings(name: str) -> Iterator[Callable[..., Any]]:
    for space in _NAMESPACES:
        found = getattr(space, name, None)
        if callable(found):
            yield found


def _table() -> dict[Callable[..., Any], Function]:
    table: dict[Callable[..., Any], Function] = {}
    for kind, operations in _KINDS.items():
        for name, others in operations.items():
            for function in (f for spelling in (name, *others) for f in _spellings(spelling)):
                inplace = getattr(function, "__name__", "").startswith("__i")
                functional = getattr(torch, name, function) if inplace else function
                table[function] = Function(name, kind, functional, inplace)
            plain = next(_spellings(name), None)
            if plain is not None and not name.startswith("__"):
                table |= {f: Function(name, kind, plain, inplace=True) for f in _spellings(name + "_")}
    return table


FUNCTIONS = _table()


def _inplace_positions(functions: Iterable[Callable[..., Any]]) -> dict[Callable[..., Any], int]:
    positions = {}
    for function in functions:
        try:
            names = list(inspect.signature(function).parameters)
        except (TypeError, ValueError):
            continue  # builtins without a signature have no inplace flag either
        if "inplace" in names:
            positions[function] = names.index("inplace")
    return positions


_INPLACE_POSITION = _inplace_positions({f.functional for f in FUNCTIONS.values()})


def bind_linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> dict[str, Any]:  # noqa: A002
    """Name the arguments of F.linear."""
    return locals()


def bind_convolution(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    padding: int | str | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
) -> dict[str, Any]:
    """Name the arguments of F.conv1d to F.conv3d."""
    return locals()


def bind_transposed(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    padding: int | tuple[int, ...] = 0,
    output_padding: int | tuple[int, ...] = 0,
    groups: int = 1,
    dilation: int | tuple[int, ...] = 1,
) -> dict[str, Any]:
    """Name the arguments of F.conv_transpose1d to F.conv_transpose3d."""
    return locals()


def bind_batch_norm(
    input: Tensor,  # noqa: A002
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> dict[str, Any]:
    """Name the arguments of F.batch_norm."""
    return locals()


def is_fixed(given: Mapping[str, Any]) -> bool:
    """Say whether bound arguments of F.batch_norm mean fixed statistics, so that it is affine."""
    return not given["training"] and given["running_mean"] is not None


def scale_and_shift(given: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Return a and c, (channels,), of batch norm with fixed statistics, a·x + c."""
    scale = torch.rsqrt(given["running_var"] + given["eps"])
    if given["weight"] is not None:
        scale = scale * given["weight"]
    shift = -given["running_mean"] * scale
    return scale, shift if given["bias"] is None else shift + given["bias"]


_RUNNING = ("input", "running_mean", "running_var", "weight", "bias")
_NORMALISATIONS = {
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
    "rms_norm": ("input", "normalized_shape", "weight", "eps"),
    "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
    "instance_norm": (*_RUNNING, "use_input_stats", "momentum", "eps"),
    "batch_norm": (*_RUNNING, "training", "momentum", "eps"),
    "normalize": ("input", "p", "dim", "eps"),
}
_SOFTMAX = ("input", "dim")
_POOLS = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
_ADAPTIVE = ("input", "output_size")


def bind_named(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Name the arguments of a normalisation, softmax or max-pooling; {} for other kinds."""
    if function.kind in ("normalisation", "batch-norm"):
        names = _NORMALISATIONS[function.name]
    elif function.kind == "softmax":
        names = _SOFTMAX
    elif function.kind == "max-pool":
        names = _ADAPTIVE if function.name.startswith("adaptive") else _POOLS
    else:
        return {}
    return dict(zip(names, args, strict=False)) | kwargs


def convolution_map(arguments: dict[str, Any], transposed: bool) -> ConvolutionMap:
    """Return the map of a bound convolution."""
    dims = arguments["weight"].ndim - 2
    stride, dilation = per_axis(arguments["stride"], dims), per_axis(arguments["dilation"], dims)
    padding: Any = arguments["padding"]
    uneven: tuple[int, ...] = ()
    if padding == "valid":
        padding = 0
    elif padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, arguments["weight"].shape[2:], strict=True)]
        if any(t % 2 for t in total):
            uneven = tuple(n for t in reversed(total) for n in (t // 2, t - t // 2))
            padding = 0
        else:
            padding = tuple(t // 2 for t in total)
    extra = per_axis(arguments["output_padding"], dims) if transposed else ()
    around = per_axis(padding, dims)
    return ConvolutionMap(stride, around, dilation, arguments["groups"], transposed, extra, uneven)


def per_axis(value: int | Iterable[int], dims: int) -> tuple[int, ...]:
    """Return the value for each of `dims` axes, of one value for all or one for each."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values
