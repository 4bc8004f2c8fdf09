"""Every model family at small input size, of torchvision and of timm: all batch norms are merged by dataflow.

Statistics, scales and shifts are lived-in, so that a wrong merge would show in outputs and relevance.
"""

from __future__ import annotations

from fnmatch import fnmatch

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from backlight import Explainer, attribute, composite
from test_zoo import zoo

# model -> size of the input, whether it is piecewise linear
TORCHVISION = {
    "vgg11_bn": (32, True),
    "resnet18": (32, True),
    "resnext50_32x4d": (32, True),
    "wide_resnet50_2": (32, True),
    "densenet121": (32, True),
    "efficientnet_b0": (32, False),
    "efficientnet_v2_s": (32, False),
    "mobilenet_v2": (32, False),
    "mobilenet_v3_small": (32, False),
    "mnasnet0_5": (32, True),
    "regnet_x_400mf": (32, True),
    "regnet_y_400mf": (32, False),
    "shufflenet_v2_x0_5": (32, True),
    "inception_v3": (75, True),
    "googlenet": (32, True),
    "convnext_tiny": (32, False),
    "vit_b_32": (64, False),
    "swin_t": (32, False),
    "swin_v2_t": (32, False),
    "maxvit_t": (224, False),
}
TIMM = {
    "resnet18": (32, True),
    "resnext50_32x4d": (32, True),
    "densenet121": (32, True),
    "efficientnet_b0": (32, False),
    "mobilenetv2_050": (32, False),
    "mobilenetv3_small_050": (32, False),
    "regnetx_002": (32, True),
    "inception_v4": (75, True),
    "inception_resnet_v2": (75, True),
    "convnext_atto": (32, False),
    "vit_tiny_patch16_224": (224, False),
    "swin_tiny_patch4_window7_224": (224, False),
    "swinv2_tiny_window8_256": (256, False),
    "maxvit_pico_rw_256": (256, False),
    "levit_128s": (224, False),
    "repvgg_a0": (32, True),
    "hrnet_w18_small": (32, True),
    "ghostnet_050": (32, False),
}
# Norms that cannot be merged: one of their inputs is rectified or pooled, and a ReLU or a sum follows.
ALONE = {
    "densenet121": ("*.norm1", "features.transition?.norm", "features.norm5"),
    "repvgg_a0": ("stages.*.identity",),
}


def lived_in(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            module.weight.data[::3] *= -1
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and not parameter.any():  # torchvision's transformers end in a zero head
            nn.init.trunc_normal_(parameter, std=0.02)
        elif name.endswith(("gamma", "layer_scale")):
            nn.init.uniform_(parameter, 0.5, 1.5)
    return model.double().eval()


def check(model: nn.Module, name: str, size: int, linear: bool) -> None:
    x = torch.randn(1, 3, size, size, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    plain = model(leaf)
    before = zoo.fingerprint(model)
    exact = composite("epsilon", epsilon=1e-13)
    found = attribute(model, x, 1, composite=exact)
    torch.testing.assert_close(found.output, plain.detach(), rtol=1e-9, atol=1e-12)
    assert zoo.fingerprint(model) == before
    assert found.coverage.uncovered == ()
    norms = [c for c in found.coverage.operations if c.site.kind == "batch-norm"]
    left = [c.site.path for c in norms if c.treatment != "merged"]
    layers = any(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in model.modules())
    assert bool(norms) == (layers or isinstance(model, Functional))
    assert [path for path in left if not any(fnmatch(path, glob) for glob in ALONE.get(name, ()))] == []
    assert zoo.is_piecewise_linear(found.coverage) == linear
    if linear:
        (gradient,) = torch.autograd.grad(plain[:, 1].sum(), leaf)
        pair = torch.stack([found.relevance.flatten(), (gradient * x).flatten()])
        assert float(torch.corrcoef(pair)[0, 1]) > 0.999999
        torch.testing.assert_close(*(row.abs().sum() for row in pair), rtol=1e-3, atol=0)


# torchvision's GoogLeNet warns that it will change its default initialisation.
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name):
    torch.manual_seed(0)
    size, linear = TORCHVISION[name]
    options = {"image_size": size} if name.startswith("vit") else {}
    if name in ("inception_v3", "googlenet"):
        options |= {"init_weights": False, "aux_logits": True}
    check(lived_in(zoo.builders()[name](weights=None, num_classes=5, **options)), name, size, linear)


@pytest.mark.parametrize("name", TIMM)
def test_timm(name):
    timm = pytest.importorskip("timm", reason="timm is not installed (extra: bench)")
    torch.manual_seed(0)
    size, linear = TIMM[name]
    check(lived_in(timm.create_model(name, num_classes=5)), name, size, linear)


class Functional(nn.Module):
    """Parameters and buffers of its own, no layers: an inverted residual, a gate, a concatenation."""

    def __init__(self):
        super().__init__()
        shapes = {"stem": (8, 3, 3, 3), "expand": (16, 8, 1, 1), "depthwise": (16, 1, 3, 3),
                  "project": (8, 16, 1, 1), "branch": (4, 8, 1, 1), "head": (5, 12)}  # fmt: skip
        self.weights = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(*shape) * 0.3) for name, shape in shapes.items()}
        )
        for name, count in (("stem", 8), ("expand", 16), ("depthwise", 16), ("project", 8), ("both", 12)):
            for part, value in (("mean", torch.randn(count)), ("var", torch.rand(count) + 0.5)):
                self.register_buffer(f"{name}_{part}", value)
            self.weights[f"{name}_scale"] = nn.Parameter(torch.randn(count))
            self.weights[f"{name}_shift"] = nn.Parameter(torch.randn(count))

    def norm(self, x, name):
        mean, var = getattr(self, f"{name}_mean"), getattr(self, f"{name}_var")
        return F.batch_norm(x, mean, var, self.weights[f"{name}_scale"], self.weights[f"{name}_shift"])

    def forward(self, x):
        w = self.weights
        x = F.relu(self.norm(F.conv2d(x, w["stem"], stride=2, padding=1), "stem"))
        h = F.relu(self.norm(torch.conv2d(x, w["expand"]), "expand"))
        h = F.relu_(self.norm(F.conv2d(h, w["depthwise"], padding=1, groups=16), "depthwise"))
        x = x + self.norm(F.conv2d(h, w["project"]), "project")
        parts = [F.conv2d(x, w["branch"]), F.conv2d(F.conv2d(x, w["expand"]), w["project"])]
        x = F.relu(self.norm(torch.cat(parts, 1), "both"))
        return F.adaptive_avg_pool2d(x, 1).flatten(1) @ w["head"].t()


def test_functional_style():
    torch.manual_seed(0)
    check(Functional().double().eval(), "functional", 16, linear=True)


def test_auto_chooses_by_what_the_model_is():
    with Explainer(Functional().double(), composite="epsilon-plus") as explainer:
        assert {"batch-norm", "attention", "fused"} <= set(explainer.canonizers)
        assert "recurrent" not in explainer.canonizers
