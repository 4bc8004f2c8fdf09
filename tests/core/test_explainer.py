"""Targets and the public entry points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

import backlight
from backlight import Attribution, Explainer, attribute
from backlight.core.errors import EngineError, PluginError, RequestError
from backlight.core.processor import Processor
from backlight.core.targets import Contrast, Explained, explained, repeated
from nets import images, small

OUTPUT = torch.tensor([[1.0, 5.0, 3.0], [9.0, 2.0, 4.0]])


class TestTargets:
    @pytest.mark.parametrize(
        ("target", "classes", "many"),
        [
            (None, [[1], [0]], False),
            ("predicted", [[1], [0]], False),
            (2, [[2], [2]], False),
            (torch.tensor(2), [[2], [2]], False),
            (torch.tensor([2, 0]), [[2], [0]], False),
            (torch.tensor([2, 0], dtype=torch.int32), [[2], [0]], False),
            ([2, 0], [[2, 0], [2, 0]], True),
            ((1,), [[1], [1]], True),
            (torch.tensor([[2, 0], [1, 1]]), [[2, 0], [1, 1]], True),
            ("top-2", [[1, 2], [0, 2]], True),
            ("all", [[0, 1, 2], [0, 1, 2]], True),
            (lambda out: out.argmin(1), [[0], [1]], False),
            (lambda out: out.argsort(1)[:, :2], [[0, 2], [1, 2]], True),
        ],
    )
    def test_classes(self, target, classes, many):
        found = explained(OUTPUT, target)
        assert found.classes.tolist() == classes
        assert found.many == many
        values = OUTPUT.gather(1, torch.tensor(classes))
        assert torch.equal(found.values(), values)
        again = explained(OUTPUT.repeat_interleave(3, 0), repeated(found.again, 3))
        assert torch.equal(again.values(), values.repeat_interleave(3, 0))

    def test_contrast_is_the_class_less_the_mean_of_the_rest(self):
        assert explained(OUTPUT, "contrastive").values().tolist() == [[5 - 2.0], [9 - 3.0]]
        assert explained(OUTPUT, Contrast(2)).values().tolist() == [[3 - 3.0], [4 - 5.5]]
        assert explained(OUTPUT, Contrast("all")).values().shape == (2, 3)

    def test_values_of_a_function_are_differentiated(self):
        found = explained(OUTPUT, lambda out: (out**2).sum(1))
        assert found.classes.tolist() == [[-1], [-1]]
        assert torch.equal(found.weights(0), 2 * OUTPUT)
        many = explained(OUTPUT, lambda out: torch.stack([out[:, 0], out.sum(1)], 1))
        assert many.many
        assert torch.equal(many.values(), torch.tensor([[1.0, 9.0], [9.0, 15.0]]))

    def test_infinite_outputs_count_only_where_they_are_explained(self):
        output = torch.tensor([[1.0, -torch.inf]])
        assert explained(output, 0).values().tolist() == [[1.0]]

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (3, "names class 3, but the model has 3 outputs, 0 to 2"),
            (-1, "names class -1"),
            (torch.tensor([0, 1, 2]), r"shape \(3, 1\), expected \(2,\) or \(2, K\)"),
            ([], "names no class"),
            (1.5, "dtype torch.float32, expected integer"),
            (True, "dtype torch.bool, expected integer"),
            ("top-4", "'top-4', but the model has 3 outputs"),
            ("top-0", 'expected "predicted"'),
            ("best", "target is 'best', expected"),
            (lambda out: 3, r"target function returned int, expected a tensor \(2,\)"),
            (lambda out: out.sum(), r"returned \(\), expected"),
            (lambda out: out.detach().sum(1), "do not depend differentiably"),
        ],
    )
    def test_mistakes_are_named(self, target, message):
        with pytest.raises(RequestError, match=message):
            explained(OUTPUT, target)

    def test_an_output_of_another_shape_needs_a_function(self):
        output = torch.rand(2, 3, 4, 4)
        with pytest.raises(EngineError, match=r"output has shape \(2, 3, 4, 4\).*give a function"):
            explained(output, 0)
        found = explained(output, lambda out: out[:, 1].sum((1, 2)))
        assert isinstance(found, Explained)
        torch.testing.assert_close(found.values()[:, 0], output[:, 1].sum((1, 2)))

    def test_segmentation_is_explained_by_a_function(self):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 2, 1, bias=False)
        ).double()
        found = attribute(model, images(), lambda out: out[:, 1].mean((1, 2)), composite="epsilon")
        expected = found.output[:, 1].mean((1, 2))
        torch.testing.assert_close(found.relevance.sum((1, 2, 3)), expected, rtol=1e-4, atol=1e-7)

    def test_true_stands_for_the_labels(self):
        model, x, labels = small(), images(), torch.tensor([4, 2])
        for target, plain in (("true", labels), (Contrast("true"), Contrast(labels))):
            found = attribute(model, x, target, labels=labels, composite="epsilon")
            expected = attribute(model, x, plain, composite="epsilon")
            assert torch.equal(found.relevance, expected.relevance)
            assert found.target.tolist() == [4, 2]
        with pytest.raises(RequestError, match='"true" needs labels'):
            attribute(model, x, "true")

    def test_a_contrast_under_lrp_conserves_the_difference(self):
        model, x = small(), images()
        sums = [{"rule": "norm", "kind": kind, "epsilon": 1e-12} for kind in ("sum", "average-pool")]
        layers = {"rule": "epsilon", "kind": "affine", "zero_params": ["bias"], "epsilon": 1e-12}
        found = attribute(model, x, "contrastive", composite={"entries": [layers, *sums]})
        out = found.output
        top = out.gather(1, found.target[:, None])[:, 0]
        torch.testing.assert_close(
            found.relevance.sum((1, 2, 3)), top - (out.sum(1) - top) / 4, rtol=1e-6, atol=1e-9
        )


class _Loud(Processor):
    stage: ClassVar = "attribution"
    yields: ClassVar = ("relevance",)

    def __call__(self, differentiate, inputs, target=None):
        return {"relevance": 2 * differentiate(inputs, target).relevance}


class TestEntryPoints:
    def test_public_names(self):
        assert backlight.attribute is attribute
        assert backlight.Explainer is Explainer

    def test_attribution_says_everything(self):
        model, x = small(), images()
        found = attribute(model, x, "top-2", composite="epsilon-plus", layers=["block"])
        assert isinstance(found, Attribution)
        assert found.relevance.shape == (2, 2, 3, 6, 6)
        assert found.layers["block"].shape == (2, 2, 4, 6, 6)
        assert found.target.shape == (2, 2)
        assert torch.equal(found.output, model(x).detach())
        assert not found.output.requires_grad
        assert "batch-norm" in found.coverage.canonizers

    def test_explainer_is_a_context_manager_and_tells_its_canonizers(self):
        with Explainer(small(), composite="epsilon") as explainer:
            assert "batch-norm" in explainer.canonizers
            assert explainer.explain(images(), 0).relevance.shape == (2, 3, 6, 6)
        assert Explainer(small()).canonizers == ()
        assert Explainer(small(), composite="epsilon", canonizers=["batch-norm"]).canonizers == (
            "batch-norm",
        )
        assert Explainer(small(), composite="epsilon", canonizers=()).canonizers == ()

    def test_a_method_may_be_an_object(self):
        twice = attribute(small(), images(), 1, method=_Loud(), composite="epsilon").relevance
        torch.testing.assert_close(twice, 2 * attribute(small(), images(), 1, composite="epsilon").relevance)

    def test_a_method_must_run_the_model(self):
        @dataclass(frozen=True)
        class Lazy(Processor):
            stage: ClassVar = "attribution"
            yields: ClassVar = ("relevance",)

            def __call__(self, differentiate, inputs, target=None):
                return {"relevance": inputs[:, None]}

        with pytest.raises(RequestError, match="did not run the model"):
            attribute(small(), images(), 1, method=Lazy())

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"method": "gradiant"}, "unknown processor 'gradiant'; did you mean 'gradient'"),
            (
                {"composite": "epsilon-pluss"},
                "unknown composite 'epsilon-pluss'; did you mean 'epsilon-plus'",
            ),
            ({"composite": "epsilon", "canonizers": ["batchnorm"]}, "unknown canonizer 'batchnorm'"),
            ({"method": "smooth-grad", "drawss": 3}, "unknown parameter 'drawss'; did you mean 'draws'"),
        ],
    )
    def test_mistakes_are_named(self, options, message):
        with pytest.raises(PluginError, match=message):
            attribute(small(), images(), 1, **options)

    def test_half_precision_is_widened_for_sums_and_quotients(self):
        model, x = small().bfloat16(), images().bfloat16()
        found = attribute(model, x, 1, composite="epsilon-plus")
        assert found.relevance.dtype == torch.bfloat16
        exact = attribute(small(), images(), 1, composite="epsilon-plus").relevance
        close = torch.nn.functional.cosine_similarity(found.relevance.double().flatten(1), exact.flatten(1))
        assert float(close.min()) > 0.99

    def test_autocast(self):
        model, x = small().float(), images().float()
        exact = attribute(model, x, 1, composite="epsilon-gamma-box").relevance
        with torch.autocast("cpu", torch.bfloat16):
            found = attribute(model, x, 1, composite="epsilon-gamma-box").relevance
        close = torch.nn.functional.cosine_similarity(found.float().flatten(1), exact.flatten(1))
        assert float(close.min()) > 0.99

    def test_channels_last(self):
        model, x = small(), images()
        exact = attribute(model, x, 1, composite="epsilon-gamma-box").relevance
        last = model.to(memory_format=torch.channels_last)
        found = attribute(last, x.to(memory_format=torch.channels_last), 1, composite="epsilon-gamma-box")
        torch.testing.assert_close(found.relevance, exact, rtol=1e-9, atol=1e-12)
