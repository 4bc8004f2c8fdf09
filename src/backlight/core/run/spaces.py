"""Relevance of layers as spaces to analyse: per channel, wherever a layer has its channels."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn


def as_kept(relevance: Tensor, model: nn.Module, layer: str, pooling: str) -> Tensor:
    """Return the relevance of a layer, (N, *layer), as a run keeps it. pooling: see `Output`."""
    keep = pooled if pooling == "channel" else channels_first
    return keep(relevance.float(), channel_axis(model, layer, tuple(relevance.shape)))


def pooled(relevance: Tensor, channels: int) -> Tensor:
    """Return (N, C): the sum over all positions. channels: the axis that stays."""
    positions = [axis for axis in range(1, relevance.ndim) if axis != channels % relevance.ndim]
    return relevance.sum(positions) if positions else relevance.reshape(len(relevance), -1)


def channels_first(relevance: Tensor, channels: int) -> Tensor:
    """Return maps as (N, C, H, W), whichever axis their channels are; vectors and tokens as they are."""
    return relevance.movedim(channels, 1) if relevance.ndim > 3 else relevance


def channel_axis(model: nn.Module, layer: str, shape: tuple[int, ...]) -> int:
    """Return the axis of a layer's output that counts channels: 1 in (N, C, H, W), -1 in (N, H, W, C).

    The latest module that says how many channels it makes, in or before the layer, decides by this number;
    where it fits no axis, as after a concatenation, maps (N, C, H, W) and tokens (N, T, C) are taken for
    what they usually are.
    """
    for count, usual in _channel_counts(model, layer):
        fitting = [axis for axis in (1, -1) if shape[axis] == count]
        if fitting:
            return fitting[0] if len(fitting) == 1 else usual
    return -1 if len(shape) == 3 else 1


def _channel_counts(model: nn.Module, layer: str) -> Iterator[tuple[int, int]]:
    """Yield (channels, usual axis) of the modules up to the end of a layer, the last one first."""
    names = [name for name, _ in model.named_modules()]
    inside = [k for k, name in enumerate(names) if name == layer or name.startswith(f"{layer}.")]
    modules = list(model.modules())
    for module in reversed(modules[: max(inside, default=-1) + 1]):
        match module:
            case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
                yield module.out_channels, 1
            case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BatchNorm3d():
                yield module.num_features, 1
            case nn.GroupNorm():
                yield module.num_channels, 1
            case nn.Linear():
                yield module.out_features, -1
            case nn.LayerNorm():
                yield module.normalized_shape[-1], -1
