"""Relevance that can be differentiated: its derivatives against finite differences and a dense formula."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import formulas
from backlight import Explainer, attribute, composite
from backlight.core.composite import Composite, Entry, Match, base
from backlight.core.errors import EngineError, RequestError
from backlight.core.rule import Rule
from dense import matrix

EPSILON = 1e-3
"""Large enough for differences to be accurate."""


class Net(nn.Module):
    """Every kind of parameter: norms merged and alone, weight norm, tokens, attention, a gate."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 2, 1)
        self.norm = nn.BatchNorm2d(5)
        self.again = nn.utils.parametrizations.weight_norm(nn.Conv2d(5, 4, 2))
        self.after = nn.BatchNorm2d(4)
        self.token = nn.Parameter(torch.randn(1, 1, 4))
        self.place = nn.Parameter(torch.randn(1, 10, 4))
        self.layer_norm = nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.gate = nn.Linear(4, 4)
        self.project = nn.Parameter(torch.randn(4, 3))
        for bias in (self.attention.in_proj_bias, self.attention.out_proj.bias):
            nn.init.uniform_(bias, -1, 1)  # at 0, b⁺ has no derivative
        for norm in (self.norm, self.after):
            nn.init.uniform_(norm.running_mean, -0.5, 0.5)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.5, 0.5)

    def forward(self, x):
        h = F.elu(self.norm(torch.cat([self.one(x), self.two(x)], 1)))
        h = self.after(self.again(h)).flatten(2).transpose(1, 2)
        h = torch.cat([self.token.expand(len(x), -1, -1), h], 1) + self.place
        n = self.layer_norm(h)
        h = h + self.attention(n, n, n)[0]
        h = h * torch.sigmoid(self.gate(h))
        return h.mean(1) @ self.project


def net() -> Net:
    torch.manual_seed(0)
    return Net().double().eval()


def images() -> torch.Tensor:
    return torch.randn(2, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def loss(model, x, weights, **options):
    found = attribute(model, x, 1, **options)
    return (found.relevance * weights).sum()


COMPOSITES = {
    "epsilon": composite("epsilon", epsilon=EPSILON),
    "gamma": composite("gamma", epsilon=EPSILON),
    "z-plus": composite("z-plus", epsilon=EPSILON),
    "alpha-beta": composite("alpha-beta", epsilon=EPSILON),
    "w-square": composite("w-square", epsilon=EPSILON),
    "flat": composite("flat", epsilon=EPSILON),
    "attn-lrp": composite("attn-lrp", epsilon=EPSILON),
    "box": composite("epsilon-gamma-box", epsilon=EPSILON),
    "gradient": None,
}


@pytest.mark.parametrize("name", COMPOSITES)
def test_derivatives_are_those_of_finite_differences(name):
    check(net(), images(), COMPOSITES[name])


def check(model, x, by):
    """Compare derivatives by the input and by every parameter, along random directions, with differences."""
    x = x.requires_grad_()
    weights = torch.randn_like(x)
    value = loss(model, x, weights, composite=by, differentiable=True)
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad(value, [x, *parameters.values()], allow_unused=True)

    def difference(change):
        step = 1e-7
        return (change(step) - change(-step)) / (2 * step)

    along = torch.randn_like(x)
    expected = difference(lambda step: loss(model, (x + step * along).detach(), weights, composite=by))
    torch.testing.assert_close((found[0] * along).sum(), expected, rtol=1e-5, atol=1e-6)
    for gradient, (key, parameter) in zip(found[1:], parameters.items(), strict=True):
        along = torch.randn_like(parameter)

        def moved(step, key=key, along=along):
            other = copy.deepcopy(model)
            dict(other.named_parameters())[key].data.add_(along, alpha=step)
            return loss(other, x.detach(), weights, composite=by)

        got = torch.zeros(()).double() if gradient is None else (gradient * along).sum()
        told = f"derivative by {key}: "
        torch.testing.assert_close(got, difference(moved), rtol=1e-5, atol=1e-6, msg=lambda m, t=told: t + m)


class Spelt(nn.Module):
    """A model of one function of its input and a parameter, read out by a dense layer."""

    def __init__(self, function, *shape):
        super().__init__()
        self.function, self.weight = function, nn.Parameter(torch.randn(*shape))
        self.head = nn.LazyLinear(3)

    def forward(self, x):
        return self.head(self.function(x, self.weight).flatten(1))


SPELLINGS = {
    "einsum": (lambda x, w: torch.einsum("nchw,cd->ndhw", x, w), (2, 3)),
    "matmul": (lambda x, w: w @ x, (4, 4)),
    "prelu": (F.prelu, (2,)),
    "max-pool": (lambda x, w: F.max_pool2d(F.conv2d(x, w), 2), (3, 2, 1, 1)),
    "bilinear": (lambda x, w: F.bilinear(x[:, 0], x[:, 1], w), (3, 4, 4)),
    "in place": (lambda x, w: F.conv2d(x, w).mul_(w.sum()).tanh_(), (3, 2, 2, 2)),
    "scaled": (lambda x, w: (x * w.exp() - w.T.unsqueeze(0)) / w.abs().sum(), (4, 4)),
    "group norm": (lambda x, w: F.group_norm(x, 1, w, -w), (2,)),
}


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.GRU(16, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.layer(x.flatten(2))[0][:, -1])


def test_recurrent_layers():
    torch.manual_seed(0)
    check(Recurrent().double(), images(), composite("epsilon", epsilon=EPSILON))


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_kind_of_operation(name):
    torch.manual_seed(0)
    function, shape = SPELLINGS[name]
    model = Spelt(function, *shape).double()
    model(images())
    share = Entry.of("max-pool-share", epsilon=EPSILON)
    check(model, images(), composite("epsilon", epsilon=EPSILON).after(share))


FORMULAS = {
    "epsilon": ("epsilon", formulas.epsilon),
    "gamma": ("gamma", formulas.gamma),
    "z-plus": ("z-plus", formulas.zplus),
    "alpha-beta": ("alpha-beta", formulas.alphabeta),
    "w-square": ("w-square", formulas.wsquare),
    "flat": ("flat", formulas.flat),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_equals_the_dense_formula_differentiated(name):
    """One layer: autograd through the formula itself, on the layer's dense matrix."""
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(2, 3, 2, padding=1), nn.Flatten()).double()
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    by, formula = FORMULAS[name]
    found = attribute(layer, x, 7, composite=by, differentiable=True).relevance
    weights = torch.randn_like(x)
    ours = torch.autograd.grad((found * weights).sum(), [x, *layer.parameters()], allow_unused=True)
    dense, offset = matrix(layer[0], (2, 3, 3))
    seed = F.one_hot(torch.tensor([7, 7]), dense.shape[1]) * (x.flatten(1) @ dense + offset)
    theirs = formula(x.flatten(1), dense, offset, seed).reshape(x.shape)
    torch.testing.assert_close(found, theirs, rtol=1e-9, atol=1e-12)
    expected = torch.autograd.grad((theirs * weights).sum(), [x, *layer.parameters()], allow_unused=True)
    for got, wanted in zip(ours, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-10)


def test_gradcheck():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    by = composite("epsilon", epsilon=EPSILON)
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: attribute(model, x, 0, composite=by, differentiable=True).relevance, x
    )


def test_relevance_is_the_same_and_the_model_untouched():
    model, x = net(), images()
    plain = attribute(model, x, "all", composite="epsilon-plus", layers=["again"])
    found = attribute(model, x, "all", composite="epsilon-plus", layers=["again"], differentiable=True)
    assert found.relevance.requires_grad
    assert found.layers["again"].requires_grad
    assert not plain.relevance.requires_grad
    torch.testing.assert_close(found.relevance, plain.relevance, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(found.layers["again"], plain.layers["again"], rtol=1e-10, atol=1e-13)
    assert all(p.grad is None for p in model.parameters())
    assert found.audit().received == pytest.approx(float(plain.output.sum()))


def test_the_output_is_attached_too():
    model, x = net(), images()
    found = attribute(model, x, 0, composite="epsilon-plus", differentiable=True)
    ours = torch.autograd.grad(found.output.square().sum(), list(model.parameters()), allow_unused=True)
    theirs = torch.autograd.grad(model(x).square().sum(), list(model.parameters()), allow_unused=True)
    for got, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, wanted)


def test_a_function_as_target_is_differentiated_too():
    model, x = net(), images().requires_grad_()
    by, target = composite("epsilon", epsilon=EPSILON), lambda out: out.pow(3).sum(1)
    found = attribute(model, x, target, composite=by, differentiable=True).relevance
    (slope,) = torch.autograd.grad(found.square().sum(), x)
    along = torch.randn_like(x)
    ends = [
        attribute(model, (x + step * along).detach(), target, composite=by).relevance.square().sum()
        for step in (1e-6, -1e-6)
    ]
    torch.testing.assert_close((slope * along).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-6)


def test_a_model_learns_to_look_elsewhere():
    """Right for the right reasons: a penalty on relevance in the left half moves it to the right."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 4, 2))
    x = torch.rand(8, 1, 6, 6)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    explainer = Explainer(model, composite="epsilon-plus")

    def left():
        total = explainer.explain(x, 1, differentiable=True).relevance.abs()
        return total[..., :3].sum() / total.sum()

    before = float(left().detach())
    for _ in range(40):
        optimizer.zero_grad()
        left().backward()
        optimizer.step()
    assert before > 0.3
    assert float(left().detach()) < before / 2


class _Cuts(Rule):
    """A rule that computes out of autograd's sight."""

    def propagate(self, op, relevance):
        return relevance.detach().clone()


def test_a_rule_that_cannot_be_differentiated_is_named():
    by = Composite(
        (Entry(Match(kind="activation"), _Cuts()), Entry.of("epsilon", Match(kind="linear")), *base())
    )
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    assert attribute(model, torch.rand(1, 3), 0, composite=by).relevance.isfinite().all()
    with pytest.raises(
        EngineError, match=r"cannot be differentiated through <.*_Cuts.*> at relu in 1 \(ReLU\)"
    ):
        attribute(model, torch.rand(1, 3), 0, composite=by, differentiable=True)


@pytest.mark.parametrize("method", ["smooth-grad", "occlusion", "integrated-gradients", "input-x-gradient"])
def test_other_methods_are_refused_by_name(method):
    with pytest.raises(RequestError, match=r"relevance of method \w+ cannot be differentiated"):
        attribute(nn.Linear(3, 2), torch.rand(1, 3), 0, method=method, differentiable=True)


def test_nothing_survives_what_was_attached():
    model = net()
    explainer = Explainer(model, composite="epsilon-gamma-box")

    def once():
        found = explainer.explain(images().repeat(5, 1, 1, 1)[:7], 1, differentiable=True)
        found.relevance.square().sum().backward()
        model.zero_grad()

    once()
    gc.collect()
    gc.disable()
    try:
        once()
        left = [
            o for o in gc.get_objects() if issubclass(type(o), torch.Tensor) and o.ndim > 1 and len(o) == 7
        ]
    finally:
        gc.enable()
    assert left == []
