"""Batch norm in every place where model families put it, and in user code that does the same."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import formulas
from backlight import attribute, composite
from backlight.core.registry import registry
from explained import explain, rand


def lived_in(norm):
    nn.init.uniform_(norm.running_mean, -1, 1)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.uniform_(norm.bias, -1, 1)
    return norm.double().eval()


def _apart(norm):
    """Return a and c of a·x + c."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale.detach(), (norm.bias - norm.running_mean * scale).detach()


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def merged(found):
    return [c.site.name for c in found.covered if c.treatment == "merged"]


LAYERS = {
    "pointwise": (lambda: nn.Conv2d(4, 6, 1), nn.BatchNorm2d, (3, 4, 5, 5)),
    "unpadded": (lambda: nn.Conv2d(4, 6, 3, stride=2), nn.BatchNorm2d, (3, 4, 5, 5)),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d, (3, 4, 5, 5)),
    "depthwise": (lambda: nn.Conv1d(4, 8, 3, groups=4), nn.BatchNorm1d, (3, 4, 7)),
    "dense": (lambda: nn.Linear(4, 6), nn.BatchNorm1d, (3, 4)),
}


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "z-plus", "w-square"])
@pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS)
def test_norm_before_a_layer(case, rule):
    """Pre-activation order, as in ConvMixer: equal to the layer with the norm in its weights."""
    make, kind, shape = case
    layer, norm = make().double(), lived_in(kind(4))
    x = rand(*shape)
    found = explain(nn.Sequential(norm, layer), x, by=rule)
    found.assert_faithful()
    assert merged(found) == ["batch_norm"]
    fused = make().double()
    if fused.bias is None:
        fused.bias = nn.Parameter(torch.zeros(len(fused.weight), dtype=torch.float64))
    scale, shift = _apart(norm)
    groups = getattr(layer, "groups", 1)
    per = 4 // groups
    with torch.no_grad():
        fused.bias.copy_(0 if layer.bias is None else layer.bias)
        for o in range(len(layer.weight)):
            first = o // (len(layer.weight) // groups) * per
            for i in range(per):
                fused.weight[o, i] = layer.weight[o, i] * scale[first + i]
                fused.bias[o] += (layer.weight[o, i] * shift[first + i]).sum()
    expected = explain(fused, x, by=rule)
    torch.testing.assert_close(found.output, expected.output)
    torch.testing.assert_close(found.relevance[0], expected.relevance[0])


BORDERS = {
    "padded": (lambda: nn.Conv2d(4, 6, 3, padding=1), (3, 4, 5, 5)),
    "padded-strided-grouped": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=2, groups=2), (3, 4, 5, 6)),
    "uneven": (lambda: nn.Conv1d(4, 3, 4, padding="same"), (3, 4, 6)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2), (3, 4, 3, 3)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("rule", ["epsilon", "gamma", "zplus", "alphabeta", "wsquare"])
@pytest.mark.parametrize("case", BORDERS.values(), ids=BORDERS)
def test_norm_before_a_layer_with_a_border(case, rule):
    """What is padded is not shifted: the merged bias depends on the position, the map is affine still."""
    make, shape = case
    model = nn.Sequential(
        lived_in(nn.BatchNorm2d(4) if len(shape) == 4 else nn.BatchNorm1d(4)), make().double()
    )
    x = rand(*shape)
    given = torch.randn_like(model(x))
    names = {"zplus": "z-plus", "alphabeta": "alpha-beta", "wsquare": "w-square"}
    found = explain(model, x, by=names.get(rule, rule), given=given)
    found.assert_faithful()
    assert merged(found) == ["batch_norm"]
    with torch.no_grad():
        bias = model(torch.zeros(1, *shape[1:], dtype=x.dtype)).flatten()
        basis = torch.eye(x[0].numel(), dtype=x.dtype).reshape(-1, *shape[1:])
        weight = model(basis).flatten(1) - bias
    expected = getattr(formulas, rule)(x.flatten(1), weight, bias, given.flatten(1))
    torch.testing.assert_close(found.relevance[0].flatten(1), expected, rtol=1e-8, atol=1e-10)


def test_norm_after_a_layer_is_not_merged_into_the_next_as_well():
    pair = (nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    model = nn.Sequential(*pair, *copy.deepcopy(pair)).double()
    lived_in(model[1]), lived_in(model[3])
    found = explain(model, rand(2, 4, 3, 3))
    found.assert_faithful()
    assert merged(found) == ["batch_norm", "batch_norm"]
    assert [c.treatment for c in found.covered] == ["rule", "merged", "rule", "merged"]


class Tokens(nn.Module):
    """A dense layer over tokens and its norm, flattened (LeViT) or swapped."""

    def __init__(self, view, bias=True):
        super().__init__()
        self.view = view
        self.layer, self.norm = nn.Linear(4, 6, bias=bias).double(), lived_in(nn.BatchNorm1d(6))

    def forward(self, x):
        y = self.layer(x)
        if self.view == "flattened":
            return self.norm(y.flatten(0, 1)).reshape_as(y)
        return self.norm(y.transpose(1, 2)).transpose(1, 2)


@pytest.mark.parametrize("view", ["flattened", "swapped"])
@pytest.mark.parametrize("rule", ["epsilon", "gamma"])
def test_norm_after_a_dense_layer_over_tokens(view, rule):
    model, x = Tokens(view), rand(3, 5, 4)
    found = explain(model, x, by=rule)
    found.assert_faithful()
    assert merged(found) == ["batch_norm"]
    scale, shift = _apart(model.norm)
    weight, bias = model.layer.weight.detach(), model.layer.bias.detach()
    expected = explain(lambda x: F.linear(x, weight * scale[:, None], bias * scale + shift), x, by=rule)
    torch.testing.assert_close(found.relevance[0], expected.relevance[0])


class Branches(nn.Module):
    """Branches of an inception block, concatenated with a rectified part: one norm after all, then a ReLU.

    apart: the same with the norm done part by part, by hand, in the weights of the layers that made the part.
    """

    def __init__(self, nested=False):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(9)
        self.last = nn.Conv2d(9, 5, 3, padding=1)
        self.double()
        lived_in(self.norm)
        self.norm.weight.data[::2] *= -1
        self.nested = nested

    def forward(self, x):
        parts = [self.one(x), F.relu(x), self.two(x)]
        whole = torch.cat([torch.cat(parts[:2], dim=1), parts[2]], -3) if self.nested else torch.cat(parts, 1)
        return self.last(F.relu(self.norm(whole)))

    def apart(self, x):
        scale, shift = (value.split([2, 3, 4]) for value in _apart(self.norm))
        weights = [p.detach() for p in (self.one.weight, self.two.weight, self.two.bias)]
        one = F.conv2d(x, weights[0] * scale[0].reshape(-1, 1, 1, 1), shift[0])
        rectified = F.conv2d(F.relu(x), scale[1].reshape(-1, 1, 1, 1), shift[1], groups=3)
        two = F.conv2d(
            x, weights[1] * scale[2].reshape(-1, 1, 1, 1), weights[2] * scale[2] + shift[2], padding=1
        )
        return self.last(F.relu(torch.cat([one, rectified, two], 1)))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("rule", ["epsilon", "gamma", "z-plus", "alpha-beta"])
def test_norm_after_concatenation_is_merged_into_every_layer_before_it(rule, nested):
    model, x = Branches(nested), rand(2, 3, 5, 5)
    found = explain(model, x, by=rule)
    found.assert_faithful()
    assert found.uncovered == []
    (told,) = [c.rule for c in found.covered if c.site.kind == "batch-norm"]
    assert told.endswith("merged in 2 of 3 parts")
    expected = explain(model.apart, x, by=rule)
    torch.testing.assert_close(found.output, expected.output)
    torch.testing.assert_close(found.relevance[0], expected.relevance[0])


def test_norm_after_concatenated_layers_alone_is_merged_entirely():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 2, 1).double(), nn.Conv2d(3, 4, 3, padding=1).double()
            self.norm = lived_in(nn.BatchNorm2d(6))

        def forward(self, x):
            return F.relu(self.norm(torch.concat((self.a(x), self.b(x)), dim=1)))

    found = explain(Net(), rand(2, 3, 5, 5))
    found.assert_faithful()
    assert merged(found) == ["batch_norm"]


class DenseBlock(nn.Module):
    """Every layer reads all before it through a norm of its own, as in DenseNet."""

    def __init__(self, layers=3, width=2):
        super().__init__()
        sizes = [3 + width * k for k in range(layers)]
        self.norms = nn.ModuleList([lived_in(nn.BatchNorm2d(size)) for size in sizes])
        self.layers = nn.ModuleList([nn.Conv2d(size, width, 3, padding=1).double() for size in sizes])
        self.last = lived_in(nn.BatchNorm2d(sizes[-1] + width))

    def forward(self, x):
        features = [x]
        for norm, layer in zip(self.norms, self.layers, strict=True):
            features.append(layer(F.relu(norm(torch.cat(features, 1)))))
        return F.relu(self.last(torch.cat(features, 1))).mean((2, 3))


def test_relevance_is_gradient_times_input_whatever_could_be_merged():
    """With shifts and biases too: each absorbs its share, merged or not."""
    model, x = DenseBlock(), rand(2, 3, 5, 5)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf)[:, 4].sum(), leaf)
    for canonizers in ("auto", ()):
        found = attribute(model, x, 4, composite=composite("epsilon", epsilon=1e-13), canonizers=canonizers)
        torch.testing.assert_close(found.relevance, gradient * x, rtol=1e-6, atol=1e-9)


def test_a_layer_read_by_several_norms_has_the_relevance_of_all():
    """A layer explained together with its norms has the relevance of what they make of it."""
    model, x = DenseBlock(), rand(2, 3, 5, 5)
    outputs = []
    for norm in (*model.norms, model.last):
        norm.register_forward_hook(lambda module, given, output: outputs.append(output))
    value = model(x.requires_grad_()).square().sum()
    shares = [y.detach() * g for y, g in zip(outputs, torch.autograd.grad(value, outputs), strict=True)]
    found = attribute(
        model, x.detach(), lambda out: out.square().sum(1), layers=["layers.0", "layers.1", "layers.2"],
        composite=composite("epsilon", epsilon=1e-13),
    ).layers  # fmt: skip
    for number in range(3):
        channels = slice(3 + 2 * number, 5 + 2 * number)
        expected = sum(share[:, channels] for share in shares[number + 1 :])
        torch.testing.assert_close(found[f"layers.{number}"], expected, rtol=1e-6, atol=1e-9)


def test_the_audit_says_what_the_shift_of_a_norm_took():
    model, x = Branches(), rand(2, 3, 5, 5)
    found = attribute(nn.Sequential(model, nn.Flatten()), x, 7, composite="epsilon")
    audit = found.audit()
    (norm,) = [a for a in audit.operations if a.site.name == "batch_norm"]
    assert abs(norm.leaks["bias"]) > 1e-3
    assert abs(norm.leaks["stabiliser"]) < 1e-3 * abs(norm.leaks["bias"])


def test_shared_layers_keep_their_own_norms():
    """One convolution, two norms: each run is merged with the norm that follows it."""
    conv, one, two = nn.Conv2d(3, 3, 1).double(), lived_in(nn.BatchNorm2d(3)), lived_in(nn.BatchNorm2d(3))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.one, self.two = conv, one, two

        def forward(self, x):
            return self.one(self.conv(x)) + self.two(self.conv(x))

    found = explain(Net(), rand(2, 3, 4, 4))
    found.assert_faithful()
    assert merged(found) == ["batch_norm", "batch_norm"]


def test_a_convolution_that_also_skips_its_norm():
    conv, norm = nn.Conv2d(3, 3, 1, bias=False).double(), lived_in(nn.BatchNorm2d(3))
    nn.init.zeros_(norm.running_mean)
    nn.init.zeros_(norm.bias)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = conv, norm

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y) + y

    found = explain(Net(), rand(2, 3, 4, 4))
    found.assert_faithful()
    found.assert_conserved()


def test_canonizers_leave_the_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), lived_in(nn.BatchNorm2d(3)), nn.Conv2d(3, 3, 1)).double()
    before = {k: (id(v), v.clone()) for k, v in (*model.named_parameters(), *model.named_buffers())}
    explain(model, rand(2, 3, 4, 4))
    for key, value in (*model.named_parameters(), *model.named_buffers()):
        assert id(value) == before[key][0]
        assert torch.equal(value, before[key][1])


def test_auto_takes_the_canonizers_that_apply():
    wanted = registry().create("canonizer", "recurrent")
    assert not wanted.applies(nn.Linear(1, 1))
    assert wanted.applies(nn.Sequential(nn.GRU(1, 1)))
    assert {"attention", "batch-norm", "fused", "recurrent"} <= set(registry().names("canonizer"))
