"""Small float64 networks that between them use every kind of operation, in every spelling there is."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

SHAPE = (3, 6, 6)


class Net(nn.Module):
    """A body (N, 3, 6, 6) -> (N, 4, …), pooled and read out by a linear layer; no biases anywhere."""

    def __init__(self, body: Callable[[Net, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.again = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.side = nn.Conv2d(3, 4, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5, bias=False)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self, x).flatten(2).mean(2))


def _setitem(net: Net, x: Tensor) -> Tensor:
    y = torch.zeros(len(x), 4, 6, 6, dtype=x.dtype)
    y[:, :2] = F.relu(net.conv(x))[:, :2]
    y[:, 2:] = F.relu(net.side(x))[:, 2:]
    return y


def _view_changed_in_place(net: Net, x: Tensor) -> Tensor:
    y = F.relu(net.conv(x))
    part = y[:, :2]
    part += F.relu(net.side(x))[:, :2]
    return y


def _slice_changed_in_place(net: Net, x: Tensor) -> Tensor:
    y = net.conv(x).relu()
    y[:, :3] += net.side(x).relu()[:, :3]
    return y


def _statement(net: Net, x: Tensor) -> Tensor:
    y = net.conv(x)
    net.relu(y)
    return y


def _viewed_then_changed(net: Net, x: Tensor) -> Tensor:
    y = net.conv(x)
    seen = y.flatten(2).transpose(1, 2)
    y.relu_()
    return (seen * 1.0).transpose(1, 2)


def _chunks_changed(net: Net, x: Tensor) -> Tensor:
    y = net.conv(x)
    a, b = y.chunk(2, 1)
    a.relu_()
    F.relu(b, inplace=True)
    return net.again(y).relu()


def _transposed_weight(net: Net, x: Tensor) -> Tensor:
    return (F.relu(net.conv(x)).movedim(1, 3) @ net.again.weight[:, :, 0, 0].T).movedim(3, 1)


def _inplace_sum(net: Net, x: Tensor) -> Tensor:
    y = F.relu(net.conv(x))
    y += F.relu(net.side(x))
    return y.add_(F.relu(net.again(y)))


# name -> body, made of bias-free linear maps, ReLUs, sums and routing: f(x) = gradient · x exactly
PIECEWISE_LINEAR: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "plain": lambda net, x: F.relu(net.conv(x)),
    "deep": lambda net, x: F.relu(net.again(F.relu(net.conv(x)))),
    "residual": lambda net, x: (h := F.relu(net.conv(x))) + F.relu(net.again(h)),
    "residual add_": _inplace_sum,
    "subtraction": lambda net, x: F.relu(net.conv(x)) - 0.5 * F.relu(net.side(x)),
    "rsub": lambda net, x: torch.sub(net.conv(x).relu(), net.side(x).relu(), alpha=0.3),
    "module in place": lambda net, x: net.relu(net.conv(x)),
    "statement": _statement,
    "functional in place": lambda net, x: F.relu(net.conv(x), inplace=True),
    "cat": lambda net, x: torch.cat([F.relu(net.conv(x))[:, :2], F.relu(net.side(x))[:, 1:3]], 1),
    "chunk": lambda net, x: torch.cat(net.conv(x).relu().chunk(2, 1)[::-1], dim=1),
    "split": lambda net, x: torch.cat(torch.split(F.relu(net.conv(x)), [1, 3], 1), 1),
    "stack": lambda net, x: torch.stack([F.relu(net.conv(x)), F.relu(net.side(x))]).sum(0),
    "permute": lambda net, x: F.relu(net.conv(x)).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
    "average pool": lambda net, x: F.avg_pool2d(F.relu(net.conv(x)), 2),
    "adaptive pool": lambda net, x: F.adaptive_avg_pool2d(F.relu(net.conv(x)), 3),
    "max pool": lambda net, x: F.max_pool2d(F.relu(net.conv(x)), 2),
    "max pool module": lambda net, x: nn.MaxPool2d(3, 2, 1)(F.relu(net.conv(x))),
    "pad": lambda net, x: F.pad(F.relu(net.conv(x)), (1, 0, 2, 1)),
    "scalars": lambda net, x: 2 * (F.relu(net.conv(x)) / 3) * 0.7,
    "negation": lambda net, x: -F.relu(-net.conv(x)),
    "buffer scale": lambda net, x: F.relu(net.conv(x)) * net.norm.running_var[:, None, None],
    "leaky": lambda net, x: F.leaky_relu(net.conv(x), 0.2),
    "prelu": lambda net, x: F.prelu(net.conv(x), torch.full((4,), 0.3, dtype=x.dtype)),
    "shared module": lambda net, x: F.relu(net.again(F.relu(net.again(F.relu(net.conv(x)))))),
    "setitem": _setitem,
    "view += ": _view_changed_in_place,
    "x[:, :3] +=": _slice_changed_in_place,
    "view taken before": _viewed_then_changed,
    "chunks in place": _chunks_changed,
    "broadcast add": lambda net, x: F.relu(net.conv(x)) + F.relu(net.side(x)).mean((2, 3), keepdim=True),
    "matmul W.T": _transposed_weight,
    "where": lambda net, x: torch.where(x[:, :1] > 0, net.conv(x).relu(), net.side(x).relu()),
    "index": lambda net, x: F.relu(net.conv(x))[:, [3, 1, 0, 0]],
    "upsample": lambda net, x: F.interpolate(F.relu(net.conv(x)), scale_factor=2, mode="nearest"),
    "one sample at a time": lambda net, x: torch.stack([F.relu(net.conv(sample)) for sample in x]),
    "dropout": lambda net, x: F.dropout(F.relu(net.conv(x)), 0.5, net.training),
    "matmul constant": lambda net, x: F.relu(net.conv(x)).flatten(2)
    @ torch.eye(36, dtype=x.dtype),
}  # fmt: skip


def net(name: str, seed: int = 0) -> Net:
    """Build one of the piecewise linear networks."""
    torch.manual_seed(seed)
    return Net(PIECEWISE_LINEAR[name]).double().eval()


def images(batch: int = 2, seed: int = 1) -> Tensor:
    """Return a batch of signed float64 images."""
    return torch.randn(batch, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Small(nn.Module):
    """Convolution, batch norm with lived-in statistics, ReLU in place, residual sum, pool, linear."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.block = nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        )
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.norm(self.conv(x)))
        h = h + self.block(h)
        return self.head(self.drop(h.mean((2, 3))))


def small(seed: int = 0) -> Small:
    """Build a small convolutional network with batch norm, in evaluation mode."""
    torch.manual_seed(seed)
    model = Small().double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.eval()
