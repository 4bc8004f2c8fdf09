"""Every kind of operation: seen, explained, same output, relevance kept; precision, layout, compilation."""

from __future__ import annotations

import threading

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from backlight import Explainer, attribute, composite
from backlight.core.composite import Entry, Match
from backlight.core.interception.functions import FUNCTIONS, bind_named
from explained import explain, rand

IMAGE, TOKENS = (2, 4, 6, 6), (2, 5, 8)
weight = torch.linspace(-1, 1, 32, dtype=torch.float64).reshape(4, 8)

# name -> (function without bias, shapes of its inputs); each must conserve under all-epsilon
CONSERVING = {
    "add": (lambda a, b: a + b, (IMAGE, IMAGE)),
    "add-in-place": (lambda a, b: a.clone().add_(b), (IMAGE, IMAGE)),
    "iadd": (lambda a, b: _iadd(a.clone(), b), (IMAGE, IMAGE)),
    "add-alpha": (lambda a, b: torch.add(a, b, alpha=0.5), (IMAGE, IMAGE)),
    "add-broadcast": (lambda a, b: a + b, (IMAGE, (4, 1, 1))),
    "sub": (lambda a, b: a - b, (IMAGE, IMAGE)),
    "rsub": (lambda a: 0 - a, (IMAGE,)),
    "sum-builtin": (lambda a, b: sum([a, b, a]), (IMAGE, IMAGE)),
    "sum": (lambda a: a.sum((2, 3)), (IMAGE,)),
    "cumsum": (lambda a: a.cumsum(1), (TOKENS,)),
    "mean": (lambda a: torch.mean(a, dim=1), (TOKENS,)),
    "avg-pool": (lambda a: F.avg_pool2d(a, 2), (IMAGE,)),
    "adaptive-pool": (lambda a: F.adaptive_avg_pool2d(a, (2, 3)), (IMAGE,)),
    "lp-pool": (lambda a: F.lp_pool2d(a.abs(), 2, 2), (IMAGE,)),
    "max-pool": (lambda a: F.max_pool2d(a, 2), (IMAGE,)),
    "max-pool-indices": (lambda a: F.max_pool2d(a, 2, return_indices=True)[0], (IMAGE,)),
    "adaptive-max": (lambda a: F.adaptive_max_pool2d(a, 2), (IMAGE,)),
    "interpolate-nearest": (lambda a: F.interpolate(a, scale_factor=2), (IMAGE,)),
    "interpolate-bilinear": (lambda a: F.interpolate(a, size=(4, 9), mode="bilinear"), (IMAGE,)),
    "grid-sample": (lambda a: F.grid_sample(a, _grid(), align_corners=False), (IMAGE,)),
    "pad": (lambda a: F.pad(a, (1, 2, 0, 1)), (IMAGE,)),
    "pad-reflect": (lambda a: F.pad(a, (1, 2, 1, 1), mode="reflect"), (IMAGE,)),
    "cat": (lambda a, b: torch.cat([a, b], 1), (IMAGE, IMAGE)),
    "stack": (lambda a, b: torch.stack((a, b), -1), (IMAGE, IMAGE)),
    "split": (lambda a: sum(torch.split(a, 2, 1)), (IMAGE,)),
    "chunk-unbind": (lambda a: sum(a.chunk(2, 1)[0].unbind(1)), (IMAGE,)),
    "index": (lambda a: a[:, [0, 2, 2], 1:, ::2], (IMAGE,)),
    "roll": (lambda a: torch.roll(a, (1, 1), (2, 3)), (IMAGE,)),
    "unfold-fold": (lambda a: F.fold(F.unfold(a, 3, padding=1), 6, 3, padding=1), (IMAGE,)),
    "pixel-shuffle": (lambda a: F.pixel_shuffle(a, 2), (IMAGE,)),
    "channel-shuffle": (lambda a: a.view(2, 2, 2, 6, 6).transpose(1, 2).reshape(a.shape), (IMAGE,)),
    "permute": (lambda a: a.permute(0, 2, 3, 1).flatten(1).contiguous(), (IMAGE,)),
    "einsum-one": (lambda a: torch.einsum("nchw->nc", a), (IMAGE,)),
    "linear": (lambda a: F.linear(a, weight), (TOKENS,)),
    "linear-keyword": (lambda a: F.linear(input=a, weight=weight), (TOKENS,)),
    "matmul": (lambda a: a @ weight.T, (TOKENS,)),
    "einsum": (lambda a: torch.einsum("bld,od->blo", a, weight), (TOKENS,)),
    "scale": (lambda a: -(a * 3) / 2, (IMAGE,)),
    "quotient": (lambda a, b: a / (b.abs() + 1), (IMAGE, IMAGE)),
    "where": (lambda a, b: torch.where(a > b, a, b), (IMAGE, IMAGE)),
    "maximum": (lambda a, b: torch.maximum(a, b), (IMAGE, IMAGE)),
    "amax": (lambda a: a.amax((2, 3)), (IMAGE,)),
    "dropout": (lambda a: F.dropout(a, 0.5, training=False), (IMAGE,)),
    "std": (lambda a: a.std(1), (TOKENS,)),
    "norm": (lambda a: torch.linalg.vector_norm(a, dim=-1), (TOKENS,)),
}  # fmt: skip


def _iadd(a, b):
    a += b
    return a


def _grid():
    theta = torch.tensor([[[0.8, 0.1, 0], [0, 0.9, 0]]] * 2, dtype=torch.float64)
    return F.affine_grid(theta, IMAGE, align_corners=False)


@pytest.mark.parametrize("case", CONSERVING.values(), ids=CONSERVING)
def test_is_covered_and_conserves(case):
    torch.manual_seed(0)
    function, shapes = case
    found = explain(function, *(rand(*shape) for shape in shapes))
    found.assert_faithful()
    assert found.uncovered == []
    found.assert_conserved()


ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Hardswish, nn.Softplus, nn.Softsign, nn.Softshrink, nn.Hardshrink, nn.Tanhshrink, nn.RReLU,
    nn.PReLU, nn.LogSigmoid, nn.Sigmoid, nn.Hardsigmoid, nn.Tanh,
)  # fmt: skip


@pytest.mark.parametrize("kind", ACTIVATIONS, ids=lambda k: k.__name__)
def test_activations_pass_relevance(kind):
    torch.manual_seed(0)
    found = explain(kind().double(), rand(3, 4))
    found.assert_faithful()
    assert [c.treatment for c in found.covered if c.site.kind == "activation"] == ["rule"]
    torch.testing.assert_close(found.relevance[0], found.given)


@pytest.mark.parametrize("kind", [k for k in ACTIVATIONS if "inplace" in k.__init__.__annotations__],
                         ids=lambda k: k.__name__)  # fmt: skip
def test_activations_in_place(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4, bias=False), kind(inplace=True)).double()
    found = explain(model, rand(3, 4))
    found.assert_faithful()
    other = explain(nn.Sequential(model[0], kind(inplace=False).double()), rand(3, 4) * 0 + 1)
    assert other.covered[0].site.kind == found.covered[0].site.kind == "linear"
    assert found.covered[1].rule == other.covered[1].rule != ""


def test_every_in_place_spelling_has_an_out_of_place_one():
    for function, known in FUNCTIONS.items():
        if known.inplace:
            assert not getattr(known.functional, "__name__", "").endswith("_"), (function, known)
            assert known.functional in FUNCTIONS


def test_arguments_are_named_however_they_are_given():
    known = FUNCTIONS[F.layer_norm]
    assert bind_named(known, (1, (2,)), {"eps": 3}) == {"input": 1, "normalized_shape": (2,), "eps": 3}
    assert bind_named(FUNCTIONS[F.max_pool2d], (1, 2), {}) == {"input": 1, "kernel_size": 2}
    assert bind_named(FUNCTIONS[F.relu], (1,), {}) == {}


def test_max_pooling_may_be_given_a_rule():
    pools = composite("epsilon").after(Entry.of("pass", Match(kind="max-pool", name="nowhere")))
    found = explain(lambda a: F.max_pool2d(a, 2), rand(*IMAGE), by=pools)
    assert [c.treatment for c in found.covered] == ["routed"]


def test_non_negative_inputs_are_known_from_the_graph():
    """What follows from ReLU through pooling and concatenation needs no look at the values."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(8, 2, 1)
    seen = []

    class Spy(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(getattr(func, "__name__", ""))
            return func(*args, **(kwargs or {}))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = first, second

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.first(x)), 2)
            return self.second(torch.cat([x, x.sigmoid()], 1)).flatten(1)

    model = Net().double()
    explainer = Explainer(model, composite="epsilon-plus-flat")
    explainer.explain(rand(*IMAGE), 0)
    with Spy():
        explainer.explain(rand(*IMAGE), 0)
    assert "amin" not in seen


@pytest.fixture
def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(32, 5, bias=False),
    ).eval()  # fmt: skip


COMPOSITES = ("epsilon", "epsilon-plus-flat", "epsilon-gamma-box")


@pytest.mark.parametrize("by", COMPOSITES)
def test_channels_last(small, by):
    x = torch.randn(2, 3, 8, 8)
    expected = attribute(small, x, 0, composite=by).relevance
    moved = small.to(memory_format=torch.channels_last)
    found = attribute(moved, x.to(memory_format=torch.channels_last), 0, composite=by).relevance
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("by", COMPOSITES)
def test_bfloat16_autocast(small, by):
    x = torch.randn(2, 3, 8, 8)
    expected = attribute(small, x, 0, composite=by)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = attribute(small, x, 0, composite=by, strict=True)
    assert found.relevance.dtype == torch.float32
    pair = torch.stack([found.relevance.flatten(), expected.relevance.flatten()])
    assert torch.corrcoef(pair)[0, 1] > 0.99


@pytest.mark.parametrize("by", COMPOSITES)
def test_model_in_bfloat16(small, by):
    x = torch.randn(2, 3, 8, 8)
    expected = attribute(small, x, 0, composite=by)
    found = attribute(small.bfloat16(), x.bfloat16(), 0, composite=by)
    assert found.relevance.dtype == torch.bfloat16
    pair = torch.stack([found.relevance.float().flatten(), expected.relevance.flatten()])
    assert torch.corrcoef(pair)[0, 1] > 0.98


class Joined(nn.Module):
    """Norms of every fate: merged through a concatenation, merged into a padded layer, alone."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(3, 4, 3, padding=1)
        self.norm, self.before, self.alone = nn.BatchNorm2d(11), nn.BatchNorm2d(11), nn.BatchNorm2d(6)
        self.last, self.head = nn.Conv2d(11, 6, 3, padding=1), nn.Linear(6, 3)
        for norm in (self.norm, self.before, self.alone):
            nn.init.uniform_(norm.running_mean, -0.3, 0.3)
            nn.init.uniform_(norm.bias, 0.1, 0.5)

    def forward(self, x):
        h = torch.relu(self.norm(torch.cat([self.one(x), x.relu(), self.two(x)], 1)))
        return self.head(self.alone(torch.relu(self.last(self.before(h)))).relu().mean((2, 3)))


@pytest.mark.parametrize("kind", ["autocast", "model", "channels last", "attached"])
@pytest.mark.parametrize("by", COMPOSITES)
def test_norms_of_every_fate(by, kind):
    torch.manual_seed(0)
    model, x = Joined().eval(), torch.randn(2, 3, 8, 8)
    expected = attribute(model, x, 0, composite=by, strict=True)
    counts = [c.treatment for c in expected.coverage.operations if c.site.kind == "batch-norm"]
    assert counts == ["rule", "merged", "rule"]
    if kind == "model":
        model, x = model.bfloat16(), x.bfloat16()
    if kind == "channels last":
        x = x.contiguous(memory_format=torch.channels_last)
        model = model.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "autocast"):
        found = attribute(model, x, 0, composite=by, differentiable=kind == "attached")
    pair = torch.stack([found.relevance.detach().float().flatten(), expected.relevance.flatten()])
    assert torch.corrcoef(pair)[0, 1] > (0.97 if kind in ("autocast", "model") else 0.999999)


# torch's own tracer warns of modules of Python that it imports.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_models_are_explained_like_their_originals(small):
    x = torch.randn(2, 3, 8, 8)
    expected = attribute(small, x, 0, composite="epsilon-plus")
    compiled = torch.compile(small, backend="eager")
    with torch.no_grad():
        before = compiled(x)
    found = attribute(compiled, x, 0, composite="epsilon-plus", strict=True)
    torch.testing.assert_close(found.relevance, expected.relevance)
    assert [c.site.path for c in found.coverage.operations] == [
        c.site.path for c in expected.coverage.operations
    ]
    with torch.no_grad():
        assert torch.equal(compiled(x), before)

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = small
            self.activation = torch.compile(lambda z: torch.relu(z) * 2, backend="eager")

        def forward(self, x):
            return self.activation(self.inner(x))

    wrapped = Wrapped()
    with torch.no_grad():
        wrapped(x)
    covered = attribute(wrapped, x, composite="epsilon", strict=True).coverage.operations
    assert [c.site.name for c in covered][-2:] == ["relu", "mul"]


def test_compiled_models_in_two_threads(small):
    x = torch.randn(2, 3, 8, 8)
    compiled = torch.compile(small, backend="eager")
    expected = attribute(small, x, 0, composite="epsilon").relevance
    found = {}

    def work(number):
        for _ in range(5):
            found[number] = attribute(compiled, x, 0, composite="epsilon").relevance

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for relevance in found.values():
        torch.testing.assert_close(relevance, expected)
    assert len(found) == 2


def test_memory_is_free_after_an_explanation(small):
    """Neither the graph nor what operations held outlives the call."""
    import gc
    import weakref

    alive = []

    class Probe(nn.Module):
        def forward(self, x):
            alive.append(weakref.ref(x))
            return x

    model = nn.Sequential(*small[:3], Probe(), *small[3:])
    explainer = Explainer(model, composite="epsilon-gamma-box")
    for _ in range(3):
        explainer.explain(torch.randn(2, 3, 8, 8), 0)
    gc.collect()
    assert [r() for r in alive] == [None] * 3
