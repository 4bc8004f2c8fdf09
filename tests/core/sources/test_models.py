"""Models by name and factory; weights that fit or are refused before anything changes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from backlight.core.errors import RequestError
from backlight.core.sources.models import load_model, load_weights, read_weights, weights_digest

FACTORY = """
from torch import nn
def net(num_classes=3):
    return nn.Sequential(nn.Flatten(), nn.Linear(12, num_classes))
answer = 42
"""


@pytest.fixture
def factory(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(FACTORY)
    return f"{path}:net"


def test_a_factory_in_a_file(factory):
    assert load_model(factory, num_classes=5)[1].out_features == 5


def test_a_factory_in_a_package():
    assert isinstance(load_model("torch.nn:Identity"), nn.Identity)


def test_a_torchvision_name():
    assert load_model("squeezenet1_1", num_classes=2).num_classes == 2


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("resnet19", "unknown model 'resnet19'; did you mean .*'resnet1[58]"),
        ("no.such.module:net", "cannot be imported"),
        ("nowhere.py:net", "nowhere.py does not exist"),
        ("torch.nn:Linnear", "unknown model 'Linnear'; did you mean 'Linear'"),
        ("math:pi", "is float, expected a callable"),
        ("builtins:dict", "built dict, expected a torch.nn.Module"),
    ],
)
def test_what_is_no_model_is_said_in_a_sentence(spec, sentence):
    with pytest.raises(RequestError, match=sentence):
        load_model(spec)


def test_a_factory_that_raises_is_named(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("def net(num_classes=2): raise ValueError('oops')")
    with pytest.raises(RequestError, match=r"bad\.py:net' cannot be built: ValueError: oops"):
        load_model(f"{path}:net")


def test_checkpoints_without_the_counters_of_batch_norm_load(tmp_path):
    (tmp_path / "norm.py").write_text("from torch import nn\ndef net(): return nn.BatchNorm2d(3)")
    state = {k: torch.rand(3) for k in ("weight", "bias", "running_mean", "running_var")}
    torch.save(state, tmp_path / "w.pt")
    loaded = load_model(f"{tmp_path}/norm.py:net", tmp_path / "w.pt").state_dict()
    assert all(torch.equal(loaded[k], state[k]) for k in state)


def test_a_factory_file_that_fails_is_named(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("raise ValueError('oops')")
    with pytest.raises(RequestError, match=r"bad\.py cannot be run: ValueError: oops"):
        load_model(f"{path}:net")


@pytest.mark.parametrize("wrap", ["plain", "state_dict", "module prefix", "safetensors"])
def test_weights_in_every_form_load(factory, tmp_path, wrap):
    state = {k: torch.randn_like(v) for k, v in load_model(factory).state_dict().items()}
    path = tmp_path / ("w.safetensors" if wrap == "safetensors" else "w.pt")
    if wrap == "safetensors":
        save_file(state, path)
    elif wrap == "state_dict":
        torch.save({"epoch": 3, "state_dict": state}, path)
    elif wrap == "module prefix":
        torch.save({f"module.{k}": v for k, v in state.items()}, path)
    else:
        torch.save(state, path)
    loaded = load_model(factory, path).state_dict()
    assert all(torch.equal(loaded[k], state[k]) for k in state)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s.pop("1.bias"), r"lacks 1 \(1\.bias"),
        (lambda s: s.update(extra=torch.zeros(1)), r"has 1 the model does not \(extra"),
        (lambda s: s.update({"1.bias": torch.zeros(7)}), r"1\.bias is \(7,\), expected \(3,\)"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(factory, tmp_path, change, sentence):
    model = load_model(factory)
    before = weights_digest(model)
    state = {k: torch.randn_like(v) for k, v in model.state_dict().items()}
    change(state)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(RequestError, match=sentence):
        load_weights(model, tmp_path / "w.pt")
    assert weights_digest(model) == before


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (exec, (f"open({str(ran)!r}, 'w').close()",))

    torch.save({"weight": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(RequestError, match="tensors-only checkpoint, and reading them could run code"):
        read_weights(tmp_path / "evil.pt")
    assert not ran.exists()


def test_a_pickle_is_read_when_it_is_trusted_by_name(factory, tmp_path):
    whole = load_model(factory)
    for name, content in {
        "model.pt": whole,
        "more.pt": {"state_dict": whole.state_dict(), "args": Path()},
    }.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(RequestError, match=r"could run code; .* add --weights-trusted"):
            load_model(factory, tmp_path / name)
        loaded = load_model(factory, tmp_path / name, trusted=True)
        assert weights_digest(loaded) == weights_digest(whole)


def test_a_timm_name():
    pytest.importorskip("timm", reason="timm is not installed (extra: bench)")
    assert load_model("timm/resnet18", num_classes=3).fc.out_features == 3
    with pytest.raises(RequestError, match="unknown timm model 'resnet81'"):
        load_model("timm/resnet81")
    with pytest.raises(RequestError, match="add --download to fetch them"):
        load_model("timm/resnet18", "DEFAULT")


def test_a_truncated_checkpoint_is_named(tmp_path):
    torch.save({"weight": torch.zeros(1000)}, tmp_path / "w.pt")
    whole = (tmp_path / "w.pt").read_bytes()
    (tmp_path / "w.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RequestError, match=r"w\.pt cannot be read"):
        read_weights(tmp_path / "w.pt")


def test_a_missing_file_and_a_file_of_something_else(tmp_path):
    with pytest.raises(RequestError, match="do not exist"):
        read_weights(tmp_path / "none.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(RequestError, match="hold list, expected a state dict"):
        read_weights(tmp_path / "list.pt")


def test_the_digest_tells_one_changed_weight():
    model = nn.Linear(3, 2)
    before = weights_digest(model)
    assert weights_digest(model) == before
    with torch.no_grad():
        model.bias[1] += 1e-6
    assert weights_digest(model) != before
