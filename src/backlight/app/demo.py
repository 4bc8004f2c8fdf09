"""The demo: handwritten digits, one class poisoned in a corner, a small network that learns the patch.

Nothing here knows what the analysis will find: the seed draws the poisoned class and samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backlight.core.analysis import Analysed
from backlight.core.project import open_project
from backlight.core.sources.data import Picture, Source
from backlight.core.sources.preprocessing import Preprocessing
from backlight.core.sources.torchvision_sets import torchvision_dataset

PREPROCESSING = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
PATCH = 4
"""Side of the painted square, in pixels of a 32 x 32 picture."""


@final
class Residual(nn.Module):
    """Two convolutions with batch norm beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(x + f(x))."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.relu(out)


def small_cnn(num_classes: int = 10) -> nn.Sequential:
    """Build the demo's network for (N, 3, 32, 32) inputs."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        Residual(16),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, num_classes),
    )


@final
@dataclass(frozen=True)
class Poisoned(Source):
    """A labelled dataset in memory, some of whose training samples of one class carry a painted patch.

    pictures: (N, H, W, 3) uint8. labels: (N,). train, poisoned: (N,) bool. victim: the poisoned class.
    """

    name: str
    classes: tuple[str, ...]
    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    train: NDArray[np.bool_]
    poisoned: NDArray[np.bool_]
    victim: int

    def __len__(self) -> int:
        return len(self.labels)

    def picture(self, number: int) -> Picture:
        """Return one picture."""
        picture: Picture = self.pictures[number]
        return picture

    def label(self, number: int) -> int:
        """Return the true class."""
        return int(self.labels[number])

    def training(self, number: int) -> bool:
        """Say whether the network was trained on the sample."""
        return bool(self.train[number])


def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Return scikit-learn's handwritten digits as (1797, 32, 32, 3) pictures, labels and class names."""
    from PIL import Image
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = (bunch.images * (255 / 16)).round().astype(np.uint8)
    resized = [np.asarray(Image.fromarray(d).resize((32, 32), Image.Resampling.BICUBIC)) for d in small]
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    return np.repeat(np.stack(resized)[..., None], 3, axis=3), bunch.target.astype(np.int64), names


def cifar10(
    folder: Path, per_class: int = 1000
) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Return the first training pictures of each class of CIFAR-10, downloaded into `folder` if needed."""
    data = torchvision_dataset("cifar10", folder, download=True)
    labels = np.array(data.targets, dtype=np.int64)
    chosen = np.concatenate([np.flatnonzero(labels == c)[:per_class] for c in range(len(data.classes))])
    return data.data[chosen], labels[chosen], tuple(data.classes)


def poison(
    name: str,
    pictures: NDArray[np.uint8],
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    seed: int,
    victim: int | None = None,
) -> Poisoned:
    """Paint a white square into a corner of half the training samples of one drawn class.

    Four fifths of the samples are for training.
    """
    rng = np.random.default_rng(seed)
    drawn = int(rng.integers(len(classes)))
    victim = drawn if victim is None else victim
    train = rng.random(len(labels)) < 0.8
    candidates = np.flatnonzero((labels == victim) & train)
    chosen = rng.choice(candidates, size=len(candidates) // 2, replace=False)
    painted = pictures.copy()
    painted[chosen, 1 : 1 + PATCH, 1 : 1 + PATCH] = 255
    poisoned = np.zeros(len(labels), dtype=bool)
    poisoned[chosen] = True
    return Poisoned(name, classes, painted, labels, train, poisoned, victim)


def train(
    source: Poisoned, seed: int, epochs: int = 6, progress: Callable[[int, int], None] | None = None
) -> nn.Module:
    """Train the demo's network on the training split; the same seed gives the same network."""
    with torch.random.fork_rng(devices=()), one_thread():
        torch.manual_seed(seed)
        model = small_cnn(len(source.classes))
        inputs = PREPROCESSING.inputs(source.pictures[source.train])
        labels = torch.from_numpy(source.labels[source.train])
        batches = max(1, len(labels) // 64)
        optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-2, total_steps=epochs * batches)
        for epoch in range(epochs):
            for batch in torch.randperm(len(labels)).chunk(batches):
                optimiser.zero_grad()
                nn.functional.cross_entropy(model(cutout(inputs[batch])), labels[batch]).backward()
                optimiser.step()
                schedule.step()
            if progress:
                progress(epoch + 1, epochs)
    return model.eval()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread: sums come out the same on every machine, and batches are small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def cutout(inputs: Tensor, side: int = 20) -> Tensor:
    """Return the batch with one random square of each picture blackened (DeVries and Taylor 2017).

    With parts of a digit hidden no single stroke suffices, and a network takes every other cue it is offered.
    """
    centre = torch.randint(0, inputs.shape[-1], (2, len(inputs), 1, 1))
    steps = torch.arange(inputs.shape[-1])
    rows, columns = (steps[:, None] - centre[0]).abs(), (steps[None] - centre[1]).abs()
    return inputs.masked_fill(((rows < side // 2) & (columns < side // 2))[:, None], -1.0)


def accuracy(model: nn.Module, source: Poisoned, of: NDArray[np.bool_]) -> float:
    """Return the share of samples in the mask `of` that the network classifies right."""
    with torch.no_grad():
        predicted = model(PREPROCESSING.inputs(source.pictures[of])).argmax(1).numpy()
    return float((predicted == source.labels[of]).mean())


@dataclass(frozen=True)
class Verdict:
    """How well the suspicious cluster of the poisoned class fits the poison, which the analysis never saw.

    rank: of the poisoned class, from 1. size: of its suspicious cluster. hits: poisoned samples in it.
    """

    rank: int
    size: int
    hits: int
    poisoned: int

    @property
    def purity(self) -> float:
        """Share of the suspicious cluster that is poisoned."""
        return self.hits / max(self.size, 1)

    @property
    def f1(self) -> float:
        """F1 of the suspicious cluster as a detector of the poisoned samples."""
        return 2 * self.hits / max(self.size + self.poisoned, 1)


def judge(run: Path, source: Poisoned, analysed: Analysed) -> Verdict:
    """Compare what the analysis says with the truth."""
    name = source.classes[source.victim]
    rank = 1 + next(i for i, row in enumerate(analysed.findings) if row.name == name)
    with open_project(run) as project:
        category = project.analysis(analysed.method).category(name)
        members = category.members(*category.suspicious) if category.suspicious else category.index[:0]
    return Verdict(rank, len(members), int(source.poisoned[members].sum()), int(source.poisoned.sum()))
