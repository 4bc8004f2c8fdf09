"""Take fused attention apart: softmax(QKᵀ/√d + mask)·V from dense layers, matrix products and a softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from backlight.core.canonizer import Canonizer
from backlight.core.hookspecs import CanonizerSpec, hookimpl


@final
@dataclass(frozen=True)
class Attention(Canonizer):
    """Decompose scaled_dot_product_attention and multi_head_attention_forward (nn.MultiheadAttention)."""

    def applies(self, model: nn.Module) -> bool:
        """Say yes to every model: attention may also be called as a function."""
        return True

    def decompose(self, function: Callable[..., Any]) -> Callable[..., Any] | None:
        """Return the same attention from its parts, or None for any other function."""
        return _PARTS.get(function)


def scaled_dot_product(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return attention of queries (…, L, E) over keys (…, S, E) and values (…, S, Ev), (…, L, Ev)."""
    return _attend(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)[0]


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> tuple[Tensor, Tensor]:
    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
        value = value.repeat_interleave(query.size(-3) // value.size(-3), -3)
    scale = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    logits = (query * scale) @ key.transpose(-2, -1)
    if is_causal:
        allowed = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
        logits = logits.masked_fill(~allowed, -math.inf)
    if mask is not None:
        logits = logits.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else logits + mask
    weights = F.softmax(logits, -1)
    if dropout_p > 0:
        weights = F.dropout(weights, dropout_p)
    return weights @ value, weights


def multi_head(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Return what F.multi_head_attention_forward does for (L, N, E) queries or unbatched (L, E) ones."""
    batched = query.ndim == 3
    if not batched:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, batch, width = query.shape
    if use_separate_proj_weight:
        weights: Any = (q_proj_weight, k_proj_weight, v_proj_weight)
    else:
        assert in_proj_weight is not None
        weights = in_proj_weight.chunk(3)
    biases: Any = (None, None, None) if in_proj_bias is None else in_proj_bias.chunk(3)
    # Three layers instead of a packed one: no work for those that receive no relevance.
    q, k, v = (F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))
    if bias_k is not None and bias_v is not None:
        k, v = torch.cat([k, bias_k.repeat(1, batch, 1)]), torch.cat([v, bias_v.repeat(1, batch, 1)])

    def heads(x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], batch, num_heads, -1).permute(1, 2, 0, 3)

    q = heads(q)
    k = heads(k) if static_k is None else static_k.reshape(batch, num_heads, *static_k.shape[1:])
    v = heads(v) if static_v is None else static_v.reshape(batch, num_heads, *static_v.shape[1:])
    if add_zero_attn:
        k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
    mask = _masks(q, k, attn_mask, key_padding_mask)
    out, attention = _attend(q, k, v, mask, dropout_p if training else 0.0, False, None, False)
    out = out.permute(2, 0, 1, 3).reshape(length, batch, width)
    out = F.linear(out, out_proj_weight, out_proj_bias)
    if need_weights and average_attn_weights:
        attention = attention.mean(1)
    if not batched:
        return out.squeeze(1), attention.squeeze(0) if need_weights else None
    return out, attention if need_weights else None


def _masks(q: Tensor, k: Tensor, attn_mask: Tensor | None, padding: Tensor | None) -> Tensor | None:
    """Return both masks as one to add, broadcastable to (N, heads, L, S); True forbids."""
    batch, heads, length = q.shape[:3]
    source = k.shape[2]

    def additive(mask: Tensor) -> Tensor:
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill(mask, -math.inf)
        return F.pad(mask, (0, source - mask.shape[-1]))  # bias_k and zero attention may be attended to

    total = None
    if attn_mask is not None:
        total = additive(attn_mask)
        if total.ndim == 3:
            total = total.reshape(batch, heads, length, source)
    if padding is not None:
        also = additive(padding).reshape(batch, 1, 1, source)
        total = also if total is None else total + also
    return total


_PARTS: dict[Callable[..., Any], Callable[..., Any]] = {
    F.scaled_dot_product_attention: scaled_dot_product,
    torch._C._nn.scaled_dot_product_attention: scaled_dot_product,
    F.multi_head_attention_forward: multi_head,
}


@hookimpl
def provide_canonizers() -> list[CanonizerSpec]:
    """Offer the decomposition of attention."""
    return [CanonizerSpec("attention", Attention, cite="achtibat2024")]
