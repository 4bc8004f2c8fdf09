"""The engine's promises: exact where theory is exact, conserving, and leaving no trace on model or inputs."""

from __future__ import annotations

import copy
import gc
import threading
from collections import OrderedDict
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from backlight import Explainer, attribute
from backlight.core.composite import Composite, Entry, Match, composite
from backlight.core.errors import EngineError
from backlight.core.rule import Rule
from nets import PIECEWISE_LINEAR, images, net, small

LRP0 = composite("epsilon", epsilon=1e-12)


def with_epsilon(epsilon: float) -> Composite:
    """Epsilon everywhere, sums and pools included, with a vanishing stabiliser."""
    pieces = [Entry.of("epsilon", Match(kind="affine"), epsilon=epsilon)]
    pieces += [Entry.of("norm", Match(kind=k), epsilon=epsilon) for k in ("sum", "average-pool")]
    return Composite((*pieces, *LRP0.entries))


class TestExact:
    @pytest.mark.parametrize("name", PIECEWISE_LINEAR)
    def test_epsilon_is_gradient_times_input_on_bias_free_relu_nets(self, name):
        model, x = net(name), images()
        found = attribute(model, x, [0, 3], composite=with_epsilon(1e-13), strict=True)
        step = 1e-6 * torch.eye(x[0].numel(), dtype=x.dtype).reshape(-1, *x.shape[1:])
        for i, sample in enumerate(x):
            with torch.no_grad():  # differences are exact on a linear piece, and need no autograd
                slope = (model(sample + step) - model(sample - step)) / 2e-6
            expected = slope[:, [0, 3]].T.reshape(2, *x.shape[1:]) * sample
            torch.testing.assert_close(found.relevance[i], expected, rtol=1e-6, atol=1e-8)

    @pytest.mark.parametrize("name", PIECEWISE_LINEAR)
    def test_epsilon_conserves(self, name):
        found = attribute(net(name), images(4), "all", composite="epsilon")
        torch.testing.assert_close(found.relevance.sum((2, 3, 4)), found.output, rtol=1e-3, atol=1e-5)

    @pytest.mark.parametrize("name", PIECEWISE_LINEAR)
    def test_output_is_the_models_own(self, name):
        model, x = net(name), images()
        found = attribute(model, x, composite="epsilon-gamma-box")
        with torch.no_grad():
            expected = model(x.clone())
        torch.testing.assert_close(found.output, expected, rtol=1e-13, atol=1e-15)

    def test_a_linear_model_is_explained_by_its_terms(self):
        torch.manual_seed(0)
        model = nn.Linear(4, 3, bias=False).double()
        x = torch.randn(2, 4, dtype=torch.float64)
        found = attribute(model, x, "all", composite=composite("epsilon", epsilon=0.0)).relevance
        torch.testing.assert_close(found, model.weight.detach() * x[:, None], rtol=1e-12, atol=0)

    def test_gradient_without_composite_is_the_gradient(self):
        model, x = small(), images()
        leaf = x.clone().requires_grad_()
        model(leaf)[:, 2].sum().backward()
        found = attribute(model, x, 2)
        torch.testing.assert_close(found.relevance, leaf.grad, rtol=0, atol=0)
        assert all(
            p.grad is not None for p in model.parameters()
        )  # from our own backward, untouched by theirs

    @pytest.mark.parametrize("preset", ["epsilon", "epsilon-plus", "epsilon-plus-flat", "epsilon-gamma-box"])
    def test_a_merged_batch_norm_changes_no_relevance_of_the_merged_model(self, preset):
        model, x = small(), images()
        fused = small()
        fused.conv = nn.utils.fuse_conv_bn_eval(fused.conv, fused.norm)
        fused.block[0] = nn.utils.fuse_conv_bn_eval(fused.block[0], fused.block[1])
        fused.norm = fused.block[1] = nn.Identity()
        ours = attribute(model, x, 1, composite=preset)
        theirs = attribute(fused, x, 1, composite=preset)
        torch.testing.assert_close(ours.relevance, theirs.relevance, rtol=1e-8, atol=1e-11)
        assert ours.coverage.counts["merged"] == 2


class TestWithoutGradients:
    """A model may switch gradients off while it writes on a signal: values change, the graph does not."""

    class Corrects(nn.Module):
        def __init__(self, plain):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3, bias=False), nn.Linear(4, 3, bias=False)
            self.plain = plain

        def forward(self, x):
            h = self.conv(x)
            if self.plain:
                h = h + (h.detach().clamp(-0.2, 0.3) * 2 - h.detach())
            else:
                with torch.no_grad():
                    h.clamp_(-0.2, 0.3)
                    h[:, :2].mul_(2)
                    h[:, 2:] = 2 * h[:, 2:]
            return self.head(h.mean((2, 3)))

    def test_values_change_and_relevance_goes_straight_through(self):
        found = []
        for plain in (True, False):
            torch.manual_seed(0)
            model = self.Corrects(plain).double()
            entries = (
                Entry.of("epsilon", Match(kind="affine")),
                Entry.of("norm", Match(kind="average-pool")),
            )
            found.append(attribute(model, images(), 1, composite=Composite(entries)))
        torch.testing.assert_close(found[0].output, found[1].output, rtol=1e-13, atol=0)
        torch.testing.assert_close(found[0].relevance, found[1].relevance, rtol=1e-12, atol=1e-15)


class TestTargets:
    def test_many_targets_equal_one_by_one(self):
        model, x = small(), images(3)
        together = attribute(model, x, [4, 0, 2], composite="epsilon-gamma-box")
        assert together.relevance.shape == (3, 3, *x.shape[1:])
        for k, target in enumerate((4, 0, 2)):
            alone = attribute(model, x, target, composite="epsilon-gamma-box")
            torch.testing.assert_close(together.relevance[:, k], alone.relevance, rtol=1e-12, atol=1e-15)

    def test_a_batch_equals_its_samples(self):
        model, x = small(), images(4)
        together = attribute(model, x, composite="epsilon-gamma-box")
        for i in range(4):
            alone = attribute(model, x[i : i + 1], composite="epsilon-gamma-box")
            assert int(alone.target) == int(together.target[i])
            torch.testing.assert_close(together.relevance[i], alone.relevance[0], rtol=1e-9, atol=1e-12)

    def test_repeated_runs_are_identical(self):
        model, x = small(), images()
        explainer = Explainer(model, composite="epsilon-plus-flat")
        first, second = explainer.explain(x).relevance, explainer.explain(x).relevance
        assert torch.equal(first, second)


class TestLayers:
    def test_relevance_of_layers_comes_in_the_same_pass(self):
        model, x = small(), images()
        found = attribute(
            model, x, 1, composite="epsilon", layers=["conv", "norm", "block.0", "block.1", "head"]
        )
        torch.testing.assert_close(found.layers["conv"], found.layers["norm"], rtol=0, atol=0)
        torch.testing.assert_close(found.layers["block.0"], found.layers["block.1"], rtol=0, atol=0)
        assert found.layers["conv"].shape == (2, 4, 6, 6)
        torch.testing.assert_close(found.layers["head"].sum(1), found.output[:, 1], rtol=0, atol=0)
        assert (
            float((found.layers["conv"].sum((1, 2, 3)) - found.layers["block.0"].sum((1, 2, 3))).abs().max())
            > 1e-6
        )

    def test_a_layer_changed_in_place_afterwards_is_seen_as_it_was(self):
        model, x = net("module in place"), images()
        found = attribute(model, x, 1, composite="epsilon", layers=["conv", "relu"])
        torch.testing.assert_close(found.layers["conv"], found.layers["relu"], rtol=0, atol=0)
        grad = attribute(model, x, 1, layers=["conv", "relu"])
        alive = model.conv(x) > 0
        assert not grad.layers["conv"][~alive].any()
        torch.testing.assert_close(grad.layers["conv"], grad.layers["relu"] * alive, rtol=0, atol=0)

    def test_a_block_that_ends_in_a_statement(self):
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 4, 1)
                self.relu = nn.ReLU(inplace=True)

            def forward(self, x):
                x = self.conv(x)
                self.relu(x)
                return x

        torch.manual_seed(0)
        model = nn.Sequential(Block(), nn.Flatten(), nn.Linear(144, 3)).double()
        found = attribute(model, images(), 1, composite="epsilon", layers=["0", "1"])
        torch.testing.assert_close(found.layers["0"].flatten(1), found.layers["1"], rtol=0, atol=0)

    @pytest.mark.parametrize("preset", [None, LRP0])
    def test_every_run_of_a_shared_module(self, preset):
        model, x = net("shared module"), images()
        names = ["again[0]", "again[1]", "again[-1]", "again[-2]", "again", "conv"]
        found = attribute(model, x, 1, composite=preset, layers=names).layers
        first, second = found["again[0]"], found["again[1]"]
        for name, expected in (("again", second), ("again[-1]", second), ("again[-2]", first)):
            torch.testing.assert_close(found[name], expected, rtol=0, atol=0)
        hidden = [model.conv(x)]
        for _ in range(2):
            hidden.append(model.again(hidden[-1].relu()))
        slopes = torch.autograd.grad(model.head(hidden[-1].relu().mean((2, 3)))[:, 1].sum(), hidden)
        for share, y, slope in zip((found["conv"], first, second), hidden, slopes, strict=True):
            torch.testing.assert_close(share, slope if preset is None else y * slope, rtol=1e-6, atol=1e-9)
        with pytest.raises(EngineError, match=r"layer 'again\[2\]' did not run"):
            attribute(model, x, 1, composite=preset, layers=["again[2]"])

    def test_unknown_silent_and_unusual_layers_are_named(self):
        model = small()
        with pytest.raises(EngineError, match=r"unknown layer 'blok\.0'; did you mean 'block\.0'"):
            attribute(model, images(), 1, composite="epsilon", layers=["blok.0"])
        model.unused = nn.Linear(2, 2)
        with pytest.raises(EngineError, match="layer 'unused' did not run"):
            attribute(model, images(), 1, composite="epsilon", layers=["unused"])


def state(model: nn.Module) -> dict[str, object]:
    """Everything about a model that could betray an explanation."""
    return {
        "keys": list(model.state_dict()),
        "values": {k: v.clone() for k, v in model.state_dict().items()},
        "parameters": [id(p) for p in model.parameters()],
        "storage": [p.data_ptr() for p in model.parameters()],
        "buffers": [id(b) for b in model.buffers()],
        "flags": [p.requires_grad for p in model.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "training": [m.training for m in model.modules()],
        "attributes": [sorted(m.__dict__) for m in model.modules()],
        "hooks": [
            {k: dict(v) for k, v in m.__dict__.items() if "hook" in k and isinstance(v, (dict, OrderedDict))}
            for m in model.modules()
        ],
    }


def same(a: object, b: object) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return a == b


@dataclass(frozen=True)
class _Breaks(Rule):
    """A rule that raises."""

    def propagate(self, op, relevance):
        raise ArithmeticError("this rule breaks")


class _BreaksInForward(nn.Module):
    def forward(self, x):
        raise ValueError("this forward breaks")


class TestNoTrace:
    @pytest.fixture
    def used(self):
        """A model half in train mode, with gradients, hooks and a frozen parameter."""
        model = small()
        model.norm.train()
        model.drop.train()
        model(images()).sum().backward()
        model.eval()
        model.head.train()
        model.drop.train()
        model.conv.weight.requires_grad_(False)
        model.block.register_forward_hook(lambda *_: None)
        return model

    @pytest.mark.parametrize("preset", [None, "epsilon", "epsilon-plus-flat", "epsilon-gamma-box"])
    def test_the_model_is_left_as_it_was(self, used, preset):
        before = state(used)
        x = images()
        kept = x.clone()
        found = attribute(used, x, "all", composite=preset, layers=["conv", "block"])
        assert same(state(used), before)
        assert torch.equal(x, kept)
        assert not x.requires_grad
        assert x.grad is None
        assert not found.relevance.requires_grad

    @pytest.mark.parametrize("preset", [None, "epsilon-gamma-box"])
    def test_training_goes_on_as_if_nothing_had_been_explained(self, used, preset):
        def train(model, explaining):
            optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1, momentum=0.9)
            torch.manual_seed(0)
            for _ in range(3):
                model.train()
                optimiser.zero_grad()
                model(images()).square().mean().backward()
                if explaining:
                    attribute(model, images(), "all", composite=preset, layers=["block"])
                optimiser.step()
            return state(model)

        expected = train(copy.deepcopy(used), explaining=False)
        found = train(copy.deepcopy(used), explaining=True)
        for key in ("values", "grads", "training"):
            assert same(found[key], expected[key]), key
        assert not same(expected["values"], state(used)["values"])

    def test_also_after_a_bad_target(self, used):
        before = state(used)
        with pytest.raises(Exception, match="class 99"):
            attribute(used, images(), 99, composite="epsilon", layers=["conv"])
        assert same(state(used), before)

    def test_also_after_an_exception_in_a_rule(self, used):
        before = state(used)
        broken = Composite((Entry(Match(kind="convolution", position=1), _Breaks()), *LRP0.entries))
        with pytest.raises(ArithmeticError, match="this rule breaks"):
            attribute(used, images(), 1, composite=broken, layers=["conv"])
        assert same(state(used), before)
        assert attribute(used, images(), 1, composite="epsilon").relevance.isfinite().all()

    def test_also_after_an_exception_in_forward(self, used):
        used.block.append(_BreaksInForward())
        before = state(used)
        with pytest.raises(ValueError, match="this forward breaks"):
            attribute(used, images(), 1, composite="epsilon", layers=["conv"])
        assert same(state(used), before)
        assert torch.overrides._get_current_function_mode_stack() == []

    def test_inputs_survive_a_model_that_writes_on_them(self):
        class Rude(nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = nn.Linear(3, 2).double()

            def forward(self, x, mask):
                mask += 1
                x -= 1
                x.mul_(2)
                x[:, 0] = 0
                with torch.no_grad():
                    x.add_(1)
                return self.linear(x.relu_()) * mask.sum()

        x, mask = torch.rand(2, 3, dtype=torch.float64), torch.ones(2, 3, dtype=torch.long)
        kept = x.clone()
        for preset in ("epsilon", None):
            attribute(Rude(), [x, mask], 1, composite=preset)
            assert torch.equal(x, kept)
            assert int(mask.sum()) == 6


class _Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(3, 2, bias=False), nn.Linear(4, 2, bias=False)

    def forward(self, left, *, right, scale=1.0):
        return {"aux": None, "logits": self.left(left) + self.right(right) * scale}


class TestCalling:
    def test_keyword_inputs_and_a_dict_output(self):
        torch.manual_seed(0)
        model = _Two().double()
        inputs = {"left": images()[:, 0, 0, :3], "right": images()[:, 1, 0, :4]}
        found = attribute(model, inputs, 1, composite=with_epsilon(1e-12))
        for name in ("left", "right"):
            expected = getattr(model, name).weight.detach()[1] * inputs[name]
            torch.testing.assert_close(found.relevance[name], expected, rtol=1e-8, atol=1e-12)

    @pytest.mark.parametrize(
        "wrap", [lambda y: (y, 3), lambda y: [None, y], lambda y: {"out": y, "aux": y * 0}]
    )
    def test_tuples_lists_and_dicts_as_output(self, wrap):
        class Wrapped(nn.Module):
            def __init__(self, model):
                super().__init__()
                self.model = model

            def forward(self, x):
                return wrap(self.model(x))

        model, x = small(), images()
        found = attribute(Wrapped(model), x, 1, composite="epsilon").relevance
        torch.testing.assert_close(found, attribute(model, x, 1, composite="epsilon").relevance)

    def test_a_dataclass_with_logits_as_output(self):
        @dataclass
        class Output:
            logits: Tensor

        class Wrapped(nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = nn.Linear(3, 2)

            def forward(self, x):
                return Output(self.linear(x))

        assert attribute(Wrapped(), torch.rand(2, 3), 1, composite="epsilon").output.shape == (2, 2)

    def test_several_inputs_one_of_them_integer(self):
        class Embed(nn.Module):
            def __init__(self):
                super().__init__()
                self.table, self.linear = nn.Embedding(5, 3), nn.Linear(3, 2)

            def forward(self, x, index):
                return self.linear(x * self.table(index))

        found = attribute(Embed(), (torch.rand(2, 3), torch.tensor([1, 4])), 0, composite="epsilon")
        assert found.relevance[0].shape == (2, 3)
        assert not found.relevance[1].any()

    @pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
    @pytest.mark.parametrize("preset", [None, "epsilon"])
    def test_callers_without_gradients(self, context, preset):
        model, x = small(), images()
        expected = attribute(model, x, 1, composite=preset).relevance
        with context():
            y = x * 1
            found = attribute(model, y, 1, composite=preset).relevance
        assert torch.equal(found, expected)

    def test_a_model_in_train_mode_is_explained_in_evaluation(self):
        model, x = small(), images()
        expected = attribute(model, x, 1, composite="epsilon").relevance
        model.train()
        assert torch.equal(attribute(model, x, 1, composite="epsilon").relevance, expected)
        assert all(m.training for m in model.modules())

    def test_one_output_per_sample(self):
        model = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)).double()
        x = torch.rand(3, 4, dtype=torch.float64)
        found = attribute(model, x, composite="epsilon")
        assert found.output.shape == (3, 1)
        assert found.relevance.shape == (3, 4)


class TestThreadsAndGrowth:
    def test_two_models_in_two_threads(self):
        models, x = [small(0), small(1)], images(4)
        expected = [attribute(m, x, 1, composite="epsilon-gamma-box").relevance for m in models]
        wrong: list[int] = []
        start = threading.Barrier(2)

        def work(number: int) -> None:
            start.wait()
            for _ in range(8):
                found = attribute(models[number], x, 1, composite="epsilon-gamma-box").relevance
                if not torch.equal(found, expected[number]):
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    @pytest.mark.parametrize("name", ["matmul W.T", "view += ", "shared module"])
    def test_nothing_grows(self, name):
        model, x = net(name), images()
        explainer = Explainer(model, composite="epsilon-gamma-box")
        sizes = []
        for _ in range(50):
            explainer.explain(x, 1)
            sizes.append((len(explainer._plan.derived), len(explainer._plan.verified)))
        assert sizes[2] == sizes[-1]

        def alive() -> int:
            gc.collect()
            return sum(issubclass(type(o), Tensor) for o in gc.get_objects())

        before = alive()
        for _ in range(10):
            explainer.explain(x, 1)
        assert alive() == before

    def test_nothing_of_a_batch_survives_it(self):
        model = small()
        explainer = Explainer(model, composite="epsilon-gamma-box")
        explainer.explain(images(), 1)
        gc.collect()
        shapes = [tuple(o.shape) for o in gc.get_objects() if issubclass(type(o), Tensor)]
        explainer.explain(images(17), 1)
        gc.collect()
        assert not [
            o for o in gc.get_objects() if issubclass(type(o), Tensor) and o.ndim > 1 and len(o) == 17
        ]
        assert (
            len(shapes) >= len([o for o in gc.get_objects() if issubclass(type(o), Tensor)]) - 2
        )  # box, once a size

    def test_batches_need_no_garbage_collector(self):
        explainer = Explainer(small(), composite="epsilon-gamma-box")
        explainer.explain(images(), 1)
        gc.collect()
        gc.disable()
        try:
            explainer.explain(images(17), 1)
            left = [
                o for o in gc.get_objects() if issubclass(type(o), Tensor) and o.ndim > 1 and len(o) == 17
            ]
        finally:
            gc.enable()
        assert left == []

    @pytest.mark.parametrize("preset", ["epsilon-plus", "epsilon-gamma-box", "epsilon-plus-flat"])
    def test_weights_changed_between_batches_are_noticed(self, preset):
        model, x = small(), images()
        explainer = Explainer(model, composite=preset)
        before = explainer.explain(x, 1).relevance
        with torch.no_grad():
            model.conv.weight.mul_(-1.5)
            model.block[1].running_var.add_(1)
        after = explainer.explain(x, 1).relevance
        assert torch.equal(after, attribute(model, x, 1, composite=preset).relevance)
        assert not torch.equal(after, before)

    def test_weights_changed_through_data_are_noticed(self):
        model, x = small(), images()
        explainer = Explainer(model, composite="epsilon-gamma-box")
        before = explainer.explain(x, 1).relevance
        model.block[0].weight.data.mul_(-1.5)
        after = explainer.explain(x, 1).relevance
        assert torch.equal(after, attribute(model, x, 1, composite="epsilon-gamma-box").relevance)
        assert not torch.equal(after, before)

    def test_a_refreshed_explainer_derives_anew(self):
        explainer = Explainer(small(), composite="epsilon-gamma-box")
        explainer.explain(images(), 1)
        assert len(explainer._plan.derived)
        explainer.refresh()
        assert not len(explainer._plan.derived)


class TestBadInput:
    def test_integer_input(self):
        with pytest.raises(EngineError, match="no floating-point tensor"):
            attribute(small(), torch.zeros(1, 3, 6, 6, dtype=torch.long), 0, composite="epsilon")

    @pytest.mark.parametrize("preset", [None, "epsilon"])
    def test_no_differentiable_path(self, preset):
        class Cut(nn.Module):
            def forward(self, x):
                return F.one_hot(x.argmax(1), 4).double()

        with pytest.raises(
            EngineError, match=r"output of Cut .* does not depend differentiably on the input"
        ):
            attribute(Cut(), torch.rand(2, 4, dtype=torch.float64), 0, composite=preset)

    def test_a_lazy_model_that_never_ran(self):
        model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 2))
        with pytest.raises(EngineError, match=r"0\.weight of the model has no shape yet; run the model once"):
            attribute(model, torch.rand(2, 3), 0, composite="epsilon")
        model(torch.rand(2, 3))
        assert attribute(model, torch.rand(2, 3), 0, composite="epsilon").relevance.any()

    def test_not_a_model(self):
        with pytest.raises(Exception, match=r"model is function, expected a torch\.nn\.Module"):
            attribute(lambda x: x, images(), 0, composite="epsilon")

    def test_nan_in_the_input_names_samples(self):
        x = images(3)
        x[1, 0, 0, 0] = float("nan")
        with pytest.raises(EngineError, match=r"input 0 holds NaN or infinity in sample\(s\) 1$"):
            attribute(small(), x, 0, composite="epsilon")

    @pytest.mark.parametrize("preset", [None, "epsilon", "epsilon-gamma-box"])
    def test_nan_in_an_activation_names_the_operation(self, preset):
        class Log(nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = nn.Linear(3, 2)

            def forward(self, x):
                return self.linear(torch.log(x - 1).relu())

        with pytest.raises(
            EngineError, match=r"log in the model \(Log\), operation 1 computes NaN or infinity"
        ):
            attribute(Log(), torch.rand(2, 3), 0, composite=preset)

    def test_nan_weights_name_the_layer(self):
        model = small()
        with torch.no_grad():
            model.block[0].weight[0, 0, 0, 0] = float("inf")
        with pytest.raises(EngineError, match=r"conv2d in block\.0 \(Conv2d\), operation \d+ computes NaN"):
            attribute(model, images(), 0, composite="epsilon")

    def test_a_vanishing_denominator_names_the_operation(self):
        model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 1))
        with torch.no_grad():
            model[0].weight.copy_(torch.tensor([[1.0, -1.0]]))
            model[1].bias.fill_(1.0)
        with pytest.raises(EngineError, match=r"relevance is NaN or infinite after linear in 0"):
            attribute(model, torch.ones(1, 2), 0, composite=composite("epsilon", epsilon=0.0))

    def test_masks_of_minus_infinity_are_no_accident(self):
        class Masked(nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = nn.Linear(4, 4)

            def forward(self, x):
                scores = self.linear(x).masked_fill(torch.tensor([True, False, False, False]), -torch.inf)
                return scores.softmax(1)[:, 1:] * 1.0

        assert attribute(Masked(), torch.rand(2, 4), 0, composite="epsilon").relevance.isfinite().all()

    def test_inputs_of_the_wrong_type(self):
        with pytest.raises(Exception, match="inputs are list, expected a tensor"):
            attribute(small(), [[1.0]], 0, composite="epsilon")
