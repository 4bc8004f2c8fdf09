"""Attribution methods against slow loops over single samples, closed forms and their own axioms."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from backlight import Explainer, attribute
from backlight.core.errors import RequestError
from backlight.core.targets import Contrast
from backlight.plugins.processors.rise import Rise
from nets import images, small

METHODS = {
    "gradient": {},
    "input-x-gradient": {},
    "smooth-grad": {"draws": 3},
    "integrated-gradients": {"steps": 5},
    "occlusion": {"window": 3, "stride": 2},
    "rise": {"masks": 11, "cells": 3},
    "grad-cam": {},
}


def slope(model, x, target):
    leaf = x.detach().clone().requires_grad_()
    return torch.autograd.grad(model(leaf[None])[0, target], leaf)[0]


class TestSlowLoops:
    def test_input_x_gradient(self):
        model, x = small(), images(3)
        found = attribute(model, x, [0, 3], method="input-x-gradient").relevance
        for i in range(3):
            for k, target in enumerate((0, 3)):
                expected = x[i] * slope(model, x[i], target)
                torch.testing.assert_close(found[i, k], expected, rtol=1e-10, atol=1e-13)

    def test_smooth_grad(self):
        model, x = small(), images(2)
        found = attribute(
            model, x, 1, method="smooth-grad", draws=7, noise=0.2, seed=5, batch_size=3
        ).relevance
        generator = torch.Generator().manual_seed(5)
        draws = [torch.randn(x.shape[1:], generator=generator, dtype=torch.float64) for _ in range(7)]
        for i in range(2):
            scale = 0.2 * (x[i].max() - x[i].min())
            expected = sum(slope(model, x[i] + scale * n, 1) for n in draws) / 7
            torch.testing.assert_close(found[i], expected, rtol=1e-9, atol=1e-12)

    def test_smooth_grad_of_lrp(self):
        model, x = small(), images(2)
        found = attribute(model, x, 1, method="smooth-grad", composite="epsilon-plus", draws=4, batch_size=2)
        generator = torch.Generator().manual_seed(0)
        draws = [torch.randn(x.shape[1:], generator=generator, dtype=torch.float64) for _ in range(4)]
        scale = 0.1 * (x.flatten(1).amax(1) - x.flatten(1).amin(1)).reshape(-1, 1, 1, 1)
        parts = [attribute(model, x + scale * n, 1, composite="epsilon-plus").relevance for n in draws]
        torch.testing.assert_close(found.relevance, torch.stack(parts).mean(0), rtol=1e-9, atol=1e-12)

    def test_integrated_gradients(self):
        model, x = small(), images(2)
        found = attribute(
            model, x, 2, method="integrated-gradients", steps=6, baseline=-0.5, batch_size=5
        ).relevance
        for i in range(2):
            away = x[i] + 0.5
            points = [slope(model, -0.5 + (k + 0.5) / 6 * away, 2) for k in range(6)]
            torch.testing.assert_close(found[i], away * sum(points) / 6, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 2), (4, 4), (2, 3)])
    def test_occlusion(self, window, stride):
        model, x = small(), images(2)
        found = attribute(
            model, x, [1, 4], method="occlusion", window=window, stride=stride, baseline=0.3, batch_size=5
        ).relevance
        for i in range(2):
            total, count = torch.zeros(2, 6, 6, dtype=torch.float64), torch.zeros(6, 6)
            for top in range(0, 6, stride):
                for left in range(0, 6, stride):
                    covered = x[i].clone()
                    covered[:, top : top + window, left : left + window] = 0.3
                    with torch.no_grad():
                        drop = (model(x[i : i + 1]) - model(covered[None]))[0, [1, 4]]
                    total[:, top : top + window, left : left + window] += drop[:, None, None]
                    count[top : top + window, left : left + window] += 1
            expected = total / count.clamp(min=1)
            torch.testing.assert_close(found[i].sum(1), expected, rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(found[i, :, 0], found[i, :, 2], rtol=0, atol=0)

    def test_occlusion_of_features(self):
        torch.manual_seed(0)
        model = nn.Linear(5, 2).double()
        x = torch.randn(3, 5, dtype=torch.float64)
        found = attribute(model, x, 1, method="occlusion", window=1, stride=1).relevance
        torch.testing.assert_close(found, model.weight.detach()[1] * x, rtol=1e-9, atol=1e-12)

    def test_rise(self):
        model, x = small(), images(2)
        method = Rise(masks=9, cells=3, probability=0.4, seed=2, batch_size=4)
        found = attribute(model, x, 1, method=method).relevance
        generator = torch.Generator().manual_seed(2)
        masks = [method.mask(6, 6, generator) for _ in range(9)]
        assert all(float(m.min()) >= 0 and float(m.max()) <= 1 and m.shape == (6, 6) for m in masks)
        for i in range(2):
            with torch.no_grad():
                expected = sum(model((x[i] * m)[None])[0, 1] * m for m in masks) / (0.4 * 9)
            torch.testing.assert_close(found[i].sum(0), expected, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("layer", ["conv", "block", "relu"])
    def test_grad_cam(self, layer):
        model, x = small(), images(2)
        found = attribute(model, x, 1, method="grad-cam", layer=layer).relevance
        kept = {}
        handle = dict(model.named_modules())[layer].register_forward_hook(
            lambda m, i, o: kept.setdefault("maps", o).retain_grad() or o.clone()
        )
        model(x)[:, 1].sum().backward()
        handle.remove()
        maps = kept["maps"]
        cam = F.relu((maps.grad.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True))
        expected = F.interpolate(cam, size=(6, 6), mode="bilinear", align_corners=False)[:, 0]
        torch.testing.assert_close(found.sum(1), expected.detach(), rtol=1e-9, atol=1e-12)

    def test_grad_cam_finds_the_last_feature_maps(self):
        model, x = small(), images(2)
        found = attribute(model, x, 1, method="grad-cam").relevance
        assert torch.equal(found, attribute(model, x, 1, method="grad-cam", layer="block").relevance)


class TestAxioms:
    def test_integrated_gradients_are_complete(self):
        """Exactly so on a quadratic model, by the midpoint rule; in the limit of many steps on any other."""

        class Quadratic(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.c = (nn.Linear(6, 3).double() for _ in range(3))

            def forward(self, x):
                return self.a(x) * self.b(x) + self.c(x)

        torch.manual_seed(0)
        model, x = Quadratic(), torch.randn(4, 6, dtype=torch.float64)
        found = attribute(model, x, "all", method="integrated-gradients", steps=3, baseline=0.2)
        expected = found.output - model(torch.full_like(x, 0.2)).detach()
        torch.testing.assert_close(found.relevance.sum(2), expected, rtol=1e-11, atol=1e-12)

        model, x = small(), images(2)
        found = attribute(model, x, "all", method="integrated-gradients", steps=4000)
        expected = found.output - model(torch.zeros_like(x)).detach()
        torch.testing.assert_close(found.relevance.sum((2, 3, 4)), expected, rtol=1e-3, atol=1e-4)

    def test_smooth_grad_without_noise_is_the_gradient(self):
        model, x = small(), images(2)
        found = attribute(model, x, 1, method="smooth-grad", noise=0.0, draws=2).relevance
        torch.testing.assert_close(found, attribute(model, x, 1).relevance, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", METHODS)
class TestEveryMethod:
    def test_shapes_and_targets(self, name):
        model, x = small(), images(2)
        method = {"method": name, **METHODS[name]}
        one = attribute(model, x, **method)
        assert one.relevance.shape == x.shape
        assert torch.equal(one.target, one.output.argmax(1))
        many = attribute(model, x, "all", **method)
        assert many.relevance.shape == (2, 5, *x.shape[1:])
        rows = many.relevance[torch.arange(2), one.target]
        torch.testing.assert_close(rows, one.relevance, rtol=1e-8, atol=1e-11)

    def test_a_batch_equals_its_samples(self, name):
        model, x = small(), images(3)
        explainer = Explainer(model, method=name, **METHODS[name])
        together = explainer.explain(x).relevance
        for i in range(3):
            alone = explainer.explain(x[i : i + 1]).relevance[0]
            torch.testing.assert_close(together[i], alone, rtol=1e-8, atol=1e-11)

    def test_contrast_is_linear(self, name):
        model, x = small(), images(2)
        method = {"method": name, **METHODS[name]}
        if name == "grad-cam":
            pytest.skip("its ReLU is not linear in the target")
        every = attribute(model, x, "all", **method).relevance
        found = attribute(model, x, Contrast(2), **method).relevance
        rest = (every.sum(1) - every[:, 2]) / 4
        torch.testing.assert_close(found, every[:, 2] - rest, rtol=1e-8, atol=1e-11)

    def test_a_function_of_the_output_as_target(self, name):
        model, x = small(), images(2)
        method = {"method": name, **METHODS[name]}
        found = attribute(model, x, lambda out: out[:, 3], **method)
        expected = attribute(model, x, 3, **method)
        torch.testing.assert_close(found.relevance, expected.relevance, rtol=1e-8, atol=1e-11)
        assert found.target.tolist() == [-1, -1]

    def test_model_and_input_are_left_alone(self, name):
        model, x = small(), images(2)
        model.train()
        before, kept = {k: v.clone() for k, v in model.state_dict().items()}, x.clone()
        attribute(model, x, 1, method=name, **METHODS[name])
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
        assert torch.equal(x, kept)
        assert all(m.training for m in model.modules())
        assert not any(m._forward_hooks for m in model.modules())

    @pytest.mark.parametrize("preset", ["epsilon-plus", "guided-backprop"])
    def test_takes_a_composite(self, name, preset):
        found = attribute(small(), images(2), 1, method=name, composite=preset, **METHODS[name])
        assert found.relevance.isfinite().all()
        assert found.relevance.any()

    def test_two_inputs(self, name):
        class Two(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = small()

            def forward(self, x, y):
                return self.net(x) + self.net(2 * y)

        inputs = (images(2), images(2, seed=9))
        if name in ("occlusion", "rise", "grad-cam"):
            with pytest.raises(RequestError, match=f"{name} explains models of one input, got 2"):
                attribute(Two(), inputs, 1, method=name)
            return
        found = attribute(Two(), inputs, 1, method=name, **METHODS[name]).relevance
        assert [r.shape for r in found] == [(2, 3, 6, 6)] * 2


class TestMistakes:
    @pytest.mark.parametrize(
        ("name", "parameters", "message"),
        [
            ("smooth-grad", {"draws": 0}, "draws is 0, expected at least 1"),
            ("smooth-grad", {"noise": -1.0}, "noise is -1.0, expected 0 or more"),
            ("integrated-gradients", {"steps": 0}, "steps is 0, expected at least 1"),
            ("occlusion", {"stride": 0}, "stride is 0, expected at least 1"),
            ("rise", {"probability": 0.0}, r"probability is 0\.0, expected more than 0"),
            ("grad-cam", {"leyer": "x"}, "unknown parameter 'leyer'; did you mean 'layer'"),
        ],
    )
    def test_parameters_are_checked(self, name, parameters, message):
        with pytest.raises(RequestError, match=message):
            Explainer(small(), method=name, **parameters)

    def test_grad_cam_needs_maps(self):
        with pytest.raises(RequestError, match="unknown layer 'convv'; did you mean 'conv'"):
            attribute(small(), images(), 1, method="grad-cam", layer="convv")
        with pytest.raises(RequestError, match=r"layer 'head' returns \(2, 5\), expected \(N, C, H, W\)"):
            attribute(small(), images(), 1, method="grad-cam", layer="head")
        flat = nn.Sequential(nn.Flatten(), nn.Linear(108, 3)).double()
        with pytest.raises(RequestError, match="no module that returns feature maps"):
            attribute(flat, images(), 1, method="grad-cam")

    def test_layers_of_a_method_that_has_none(self):
        with pytest.raises(RequestError, match="method Occlusion gives no relevance of layer 'conv'"):
            attribute(small(), images(), 1, method="occlusion", layers=["conv"])

    def test_a_processor_of_another_stage(self):
        with pytest.raises(
            RequestError, match="'pool' is no attribution method but of stage 'preprocessing'"
        ):
            Explainer(small(), method="pool")

    @pytest.mark.parametrize("batch_size", [7, 1000])
    def test_layers_of_integrated_gradients_are_complete(self, batch_size):
        """Every layer that all paths go through has the output's rise from the baseline, as the input has."""
        model, x = small(), images(2)
        names = ["conv", "norm", "drop", "head"]
        options = {"method": "integrated-gradients", "steps": 150, "batch_size": batch_size}
        found = attribute(model, x, [0, 3], layers=names, **options)
        with torch.no_grad():
            rise = (model(x) - model(torch.zeros_like(x)))[:, [0, 3]]
        for name in names:
            share = found.layers[name]
            assert share.shape[:2] == (2, 2)
            torch.testing.assert_close(share.flatten(2).sum(2), rise, rtol=2e-3, atol=2e-3)
        one_way = torch.nn.functional.one_hot(torch.tensor([0, 3]), 5) * (model(x) - model(0 * x))[:, None]
        torch.testing.assert_close(found.layers["head"], one_way.detach(), rtol=1e-9, atol=1e-12)

    def test_layers_of_smooth_grad_are_means(self):
        model, x = small(), images(2)
        found = attribute(model, x, 1, method="smooth-grad", noise=0.0, layers=["block"], composite="epsilon")
        expected = attribute(model, x, 1, composite="epsilon", layers=["block"])
        torch.testing.assert_close(found.layers["block"], expected.layers["block"], rtol=1e-9, atol=1e-12)
