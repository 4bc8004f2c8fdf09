"""Batch norm in every place where model families put it, and in user code that does the same."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

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


def test_norm_before_a_padded_convolution_is_merged_only_without_shift():
    norm = lived_in(nn.BatchNorm2d(4))
    layer = nn.Conv2d(4, 4, 3, padding=1).double()
    assert merged(explain(nn.Sequential(norm, layer), rand(2, 4, 5, 5))) == []
    nn.init.zeros_(norm.running_mean)
    nn.init.zeros_(norm.bias)
    assert merged(explain(nn.Sequential(norm, layer), rand(2, 4, 5, 5))) == ["batch_norm"]


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


def test_norm_after_concatenation_conserves_or_absorbs_by_choice():
    """DenseNet: the norm sees several layers' outputs and feeds a ReLU, so no layer can take it in."""
    first, norm = nn.Conv2d(3, 2, 1, bias=False).double(), lived_in(nn.BatchNorm2d(5))
    last = nn.Conv2d(5, 2, 3, padding=1, bias=False).double()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.last = first, norm, last

        def forward(self, x):
            return self.last(F.relu(self.norm(torch.cat([x, self.first(x)], 1))))

    x = rand(2, 3, 5, 5)
    found = explain(Net(), x)
    found.assert_faithful()
    found.assert_conserved()
    assert found.uncovered == []


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
