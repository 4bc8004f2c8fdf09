"""Maps are adjoint to their transposes, derived tensors are made once, denominators are kept from zero."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from backlight import attribute, composite
from backlight.core.composite import Composite, Entry, Match
from backlight.core.derived import Derived
from backlight.core.engine import Interceptor
from backlight.core.interception.plan import Plan
from backlight.core.ops import AffineOp, stabilize, unbroadcast
from backlight.core.rule import Rule
from dense import LAYERS, quiet, st


class _Probe(Rule):
    """Keeps the operation it was given."""

    def propagate(self, op, relevance):
        self.op = op
        return relevance.new_zeros(op.input.shape)


def operation(case, bias=True) -> AffineOp:
    torch.manual_seed(0)
    layer, probe = case.make(bias).double(), _Probe()
    x = torch.randn(2, *case.shape, dtype=torch.float64, requires_grad=True)
    interceptor = Interceptor(Plan.of(layer, Composite((Entry(Match(kind="affine"), probe),)), ()))
    interceptor.start([x])
    with interceptor:
        out = layer(x)
    torch.autograd.grad(out, x, torch.ones_like(out))
    return probe.op


@quiet
@pytest.mark.parametrize("case", LAYERS, ids=lambda c: c.name)
class TestMaps:
    def test_transpose_is_the_adjoint(self, case):
        op = operation(case)
        s = torch.randn_like(op.output)
        weight = torch.randn_like(op.weight)
        left = (op.forward(op.input, weight) * s).sum()
        torch.testing.assert_close(left, (op.input * op.transpose(s, weight)).sum(), rtol=1e-12, atol=1e-12)

    def test_output_is_the_map_plus_the_bias(self, case):
        op = operation(case)
        torch.testing.assert_close(op.output, op.forward(op.input) + op.bias_term, rtol=1e-12, atol=1e-13)

    def test_scaling_the_weight_scales_the_outputs(self, case):
        op = operation(case)
        factor = torch.rand(len(op.bias), dtype=torch.float64) + 0.5
        scaled = op.forward(op.input, op.map.scale_weight(op.weight, factor))
        torch.testing.assert_close(
            scaled, op.forward(op.input) * op.map.on_outputs(factor), rtol=1e-12, atol=1e-13
        )

    def test_values_on_inputs_broadcast_over_channels(self, case):
        op = operation(case)
        axis = -1 if case.name.startswith("linear") else 1
        values = torch.arange(op.input.shape[axis], dtype=torch.float64)
        spread = op.map.on_inputs(values).expand_as(op.input)
        assert torch.equal(spread.movedim(axis, -1)[0].reshape(-1, len(values))[0], values)

    def test_without_bias_is_the_bare_map(self, case):
        op = operation(case)
        bare = op.without(("bias",))
        assert bare is op.without(("bias",))
        assert bare.bias_term is None
        torch.testing.assert_close(bare.output, op.forward(op.input), rtol=1e-12, atol=1e-13)
        assert op.without(()) is op
        nothing = op.without(("weight", "bias"))
        assert not nothing.output.any()


class TestDerived:
    def test_made_once_for_every_view_of_a_storage(self):
        derived, weight, made = Derived(), torch.rand(3, 2), []
        for _ in range(5):
            derived.get("tag", (weight.T,), lambda: made.append(1))
        assert made == [1]
        assert len(derived) == 1

    def test_one_value_for_each_tag_shape_and_type(self):
        derived, weight = Derived(), torch.rand(2, 2)
        values = [derived.get(tag, (w,), object) for tag in "ab" for w in (weight, weight.T, weight.double())]
        assert len({id(v) for v in values}) == 6

    def test_made_again_when_a_source_changed_in_place(self):
        derived, weight = Derived(), torch.zeros(2)
        assert float(derived.get("sum", (weight,), weight.sum)) == 0
        weight.add_(1)
        assert float(derived.get("sum", (weight,), weight.sum)) == 2
        assert len(derived) == 1

    def test_a_storage_is_never_mistaken_for_a_later_one(self):
        derived = Derived()
        for i in range(50):
            weight = torch.full((64,), float(i))
            assert float(derived.get("first", (weight,), lambda w=weight: w[0].clone())) == i
            del weight  # its memory would be handed out again, did the entry not keep it

    def test_what_was_not_used_is_swept(self):
        derived, kept = Derived(), torch.rand(2)
        for _ in range(3):
            derived.get("kept", (kept,), object)
            derived.get("passing", (torch.rand(2),), object)
            derived.sweep()
        assert len(derived) == 2
        derived.get("kept", (kept,), object)
        derived.sweep()
        assert len(derived) == 1

    def test_changes_behind_torchs_back_are_noticed(self):
        weights = [
            torch.rand(70, 30),
            torch.rand(8, 4, 3, 3).contiguous(memory_format=torch.channels_last),
            torch.rand(9, 7).t(),
            torch.rand(5, dtype=torch.bfloat16),
            torch.full((3,), float("nan")),
            torch.zeros(0),
            torch.tensor(4),
        ]
        derived = Derived()
        derived.notice(weights)
        derived.get("twice", (weights[0],), lambda: 2 * weights[0])
        derived.notice(weights)
        assert len(derived) == 1
        for weight in weights[:4]:
            derived.get("twice", (weights[0],), lambda: 2 * weights[0])
            version = weight._version
            weight.data.mul_(-1.5)
            assert weight._version == version
            derived.notice(weights)
            assert len(derived) == 0

    def test_made_without_gradients(self):
        weight = nn.Parameter(torch.rand(2))
        assert not Derived().get("twice", (weight,), lambda: weight * 2).requires_grad

    def test_inference_tensors_have_no_version(self):
        with torch.inference_mode():
            weight = torch.rand(2)
        derived = Derived()
        assert derived.get("tag", (weight,), object) is derived.get("tag", (weight,), object)


class TestStabilise:
    # No -0.0: it counts as negative here. A sum is -0 only where all contributions, so all shares, are zero.
    Z = torch.tensor([-2.0, -1e-4, 0.0, 1e-4, 3.0], dtype=torch.float64)

    def test_sign_of_zero_is_plus(self):
        assert torch.equal(stabilize(self.Z, 1e-3), st(self.Z, 1e-3))
        assert stabilize(self.Z, 1e-3)[2] == 1e-3

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
    def test_in_the_tensors_own_precision(self, dtype):
        found = stabilize(self.Z.to(dtype), 1e-3)
        assert found.dtype == dtype
        assert torch.equal(found, st(self.Z.to(dtype), torch.tensor(1e-3, dtype=dtype)))

    def test_clip_leaves_large_values_alone(self):
        assert stabilize(self.Z, 0.5, "clip").tolist() == [-2.0, -0.5, 0.5, 0.5, 3.0]

    def test_norm_scales_with_each_sample(self):
        z = torch.tensor([[3.0, -4.0], [0.3, -0.4]], dtype=torch.float64)
        rms = (z**2).mean(1, keepdim=True) ** 0.5
        torch.testing.assert_close(stabilize(z, 0.1, "norm"), z + 0.1 * rms * z.sign(), rtol=1e-14, atol=0)
        torch.testing.assert_close(stabilize(z, 0.1, "norm")[0] / 10, stabilize(z, 0.1, "norm")[1])

    def test_nothing_to_add(self):
        assert stabilize(self.Z, 0.0) is self.Z


def test_unbroadcast_sums_over_broadcast_axes():
    full = torch.arange(24.0).reshape(2, 3, 4)
    assert torch.equal(unbroadcast(full, torch.Size((3, 1))), full.sum(0).sum(1, keepdim=True))
    assert unbroadcast(full, full.shape) is full


class _Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 3, 3), nn.Linear(12, 2)

    def forward(self, x):
        return self.head(self.conv(x).relu().flatten(1))


@pytest.mark.parametrize("how", ["sign", "clip", "norm"])
@pytest.mark.parametrize("name", ["epsilon", "gamma", "z-plus", "alpha-beta", "w-square", "flat", "box"])
def test_every_rule_takes_every_stabiliser(name, how):
    torch.manual_seed(0)
    model, x = _Layer().double(), torch.randn(2, 2, 4, 4, dtype=torch.float64)
    found = attribute(model, x, 1, composite=composite(name, epsilon=1e-9, stabiliser=how)).relevance
    plain = attribute(model, x, 1, composite=composite(name, epsilon=1e-12)).relevance
    torch.testing.assert_close(found, plain, rtol=1e-6, atol=1e-9)
    strong = attribute(model, x, 1, composite=composite(name, epsilon=0.9, stabiliser=how)).relevance
    assert how == "clip" or not torch.allclose(strong, plain, rtol=1e-3)
