"""The coverage report speaks of every operation, strict mode refuses the uncovered, the audit adds up."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from backlight import attribute, composite
from backlight.core.composite import Composite, Entry, Match
from backlight.core.errors import EngineError, RequestError
from nets import PIECEWISE_LINEAR, images, net, small


class TestCoverage:
    def test_every_operation_in_execution_order(self):
        found = attribute(small(), images(), 0, composite="epsilon-plus").coverage
        told = [(c.site.name, c.site.kind, c.site.path, c.treatment) for c in found.operations]
        assert told == [
            ("conv2d", "convolution", "conv", "rule"),
            ("batch_norm", "batch-norm", "norm", "merged"),
            ("relu", "activation", "relu", "rule"),
            ("conv2d", "convolution", "block.0", "rule"),
            ("batch_norm", "batch-norm", "block.1", "merged"),
            ("relu", "activation", "block.2", "rule"),
            ("add", "sum", "", "rule"),
            ("mean", "average-pool", "", "rule"),
            ("dropout", "route", "drop", "routed"),
            ("linear", "linear", "head", "rule"),
        ]
        assert [c.site.index for c in found.operations] == list(range(10))
        assert found.counts == {"rule": 7, "merged": 2, "routed": 1}
        assert found.uncovered == ()
        assert "batch-norm" in found.canonizers
        assert "ZPlus" in str(found)

    @pytest.mark.parametrize("name", PIECEWISE_LINEAR)
    @pytest.mark.parametrize("preset", ["epsilon-plus-flat", "epsilon-gamma-box"])
    def test_presets_cover_every_small_net(self, name, preset):
        attribute(net(name), images(), 0, composite=preset, strict=True)

    def test_strict_refuses_by_name(self):
        class Odd(nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = nn.Linear(4, 3)

            def forward(self, x):
                return self.linear(torch.fft.fft(x).abs())

        with pytest.raises(
            EngineError, match=r"no rule covers \d operation\(s\): fft.* in the model \(Odd\)"
        ):
            attribute(Odd(), torch.rand(2, 4), 0, composite="epsilon", strict=True)
        found = attribute(Odd(), torch.rand(2, 4), 0, composite="epsilon")
        assert "gradient" in found.coverage.counts

    def test_what_is_not_differentiable_is_said(self):
        class Counts(nn.Module):
            def forward(self, x):
                return x * (x > 0).sum()

        found = attribute(Counts(), torch.rand(2, 4), 0, composite="epsilon").coverage
        assert [c.site.name for c in found.operations if c.treatment == "not differentiable"] == ["gt"]

    def test_scripted_modules_are_named(self):
        with pytest.warns(FutureWarning, match="deprecated"):
            scripted = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
        model = nn.Sequential(nn.Linear(4, 4), scripted, nn.Linear(4, 2))
        found = attribute(model, torch.rand(2, 4), 0, composite="epsilon").coverage
        assert "1" in [c.site.path for c in found.operations if c.treatment == "hidden"]
        with pytest.raises(EngineError, match=r"no rule covers .*in 1 "):
            attribute(model, torch.rand(2, 4), 0, composite="epsilon", strict=True)


class TestAudit:
    def test_adds_up(self):
        found = attribute(small(), images(), 1, composite="epsilon-plus")
        audit = found.audit()
        assert audit.received == pytest.approx(float(found.output[:, 1].sum()))
        assert audit.returned == pytest.approx(float(found.relevance.sum()), rel=1e-9)
        leaks = sum(a.leaked for a in audit.operations)
        assert audit.received - audit.returned == pytest.approx(leaks, rel=1e-6)
        assert audit.error == pytest.approx(abs(leaks / audit.received), rel=1e-6)
        assert audit.operations[0].site.path == "head"

    def test_epsilon_without_bias_leaks_nothing(self):
        source = composite({"entries": [{"rule": "epsilon", "kind": "affine", "zero_params": ["bias"]}]})
        audit = attribute(small(), images(), 1, composite=source).audit()
        assert audit.error < 1e-4

    def test_says_what_leaked_to_the_bias(self):
        model = nn.Sequential(nn.Linear(2, 1)).double()
        with torch.no_grad():
            model[0].weight.copy_(torch.tensor([[1.0, 2.0]]))
            model[0].bias.fill_(1.0)
        source = composite("epsilon", epsilon=0.0)
        (only,) = (
            attribute(model, torch.ones(1, 2, dtype=torch.float64), 0, composite=source).audit().operations
        )
        assert only.received == 4.0
        assert only.returned == 3.0
        assert dict(only.causes) == {"bias": 1.0}

    def test_says_what_a_rule_dropped(self):
        class Twice(nn.Module):
            """Two outputs, one exactly zero; the reader makes relevance flow to both."""

            def __init__(self):
                super().__init__()
                self.linear = nn.Linear(2, 2, bias=False)
                self.read = nn.Linear(2, 1)

            def forward(self, x):
                return self.read(self.linear(x))

        model = Twice().double()
        with torch.no_grad():
            model.linear.weight.copy_(torch.tensor([[1.0, -1.0], [1.0, 1.0]]))
            model.read.weight.copy_(torch.tensor([[3.0, 1.0]]))
            model.read.bias.zero_()
        flat = Composite((Entry.of("flat", Match(name="read")), Entry.of("gamma", Match(name="linear"))))
        x = torch.ones(1, 2, dtype=torch.float64)
        leak = attribute(model, x, 0, composite=flat).audit().operations[-1]
        assert leak.received == pytest.approx(2.0)
        assert dict(leak.causes)["dropped"] == pytest.approx(1.0, rel=1e-5)

    @pytest.mark.parametrize("stabiliser", ["sign", "clip"])
    @pytest.mark.parametrize("name", ["epsilon", "gamma", "z-plus", "alpha-beta", "w-square", "flat", "box"])
    def test_causes_explain_every_leak(self, name, stabiliser):
        """With a vanishing stabiliser, what leaks went to bias or constants or was dropped."""

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)
                self.only_negative = nn.Linear(5, 3)

            def forward(self, x):
                h = F.relu(self.conv(x)) + 0.3
                return self.only_negative(F.relu(self.head(h.mean((2, 3)))))

        torch.manual_seed(0)
        model = Net().double()
        with torch.no_grad():
            model.only_negative.weight[1] = -model.only_negative.weight[1].abs()
            model.only_negative.bias[1] = -0.2
        source = composite(name, epsilon=1e-10, stabiliser=stabiliser)
        found = attribute(model, images(), 1, composite=source)
        audit = found.audit()
        for operation in audit.operations:
            size = max(abs(operation.received), abs(audit.received))
            assert abs(operation.leaks["stabiliser"]) < 1e-6 * size, operation
        if name == "z-plus":  # units whose every contribution is negative keep their relevance
            assert abs(dict(audit.operations[0].causes)["dropped"]) > 0
        else:
            assert any("constant" in dict(a.causes) for a in audit.operations)
        if name in ("epsilon", "gamma", "w-square"):
            assert "bias" in dict(audit.operations[0].causes)

    def test_a_plain_gradient_has_no_audit(self):
        with pytest.raises(RequestError, match="plain gradient has no relevance to audit"):
            attribute(small(), images(), 1).audit()

    def test_auditing_changes_nothing(self):
        model, x = small(), images()
        found = attribute(model, x, 1, composite="epsilon-gamma-box")
        before = found.relevance.clone()
        assert found.audit() == found.audit()
        assert torch.equal(found.relevance, before)


def test_functional_relu_in_a_lambda_is_seen():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.act = lambda x: F.relu(x)

        def forward(self, x):
            return self.act(self.linear(x))

    found = attribute(Net(), torch.rand(2, 3), 0, composite="epsilon").coverage
    assert [c.site.kind for c in found.operations] == ["linear", "activation"]
