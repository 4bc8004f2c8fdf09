"""Train the network on pictures/train, say how well it does on pictures/test, and save its weights."""

import argparse

import torch
from net import net
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import datasets, transforms

TO_TENSOR = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])


def load(part: str) -> tuple[Tensor, Tensor]:
    """Return all pictures of a part, (N, 3, 32, 32), and their classes."""
    folder = datasets.ImageFolder(f"pictures/{part}", TO_TENSOR)
    return torch.stack([picture for picture, _ in folder]), torch.tensor(folder.targets)


def augmented(pictures: Tensor) -> Tensor:
    """Return pictures of which half are mirrored, moved by up to two pixels."""
    mirrored = torch.where(torch.rand(len(pictures), 1, 1, 1) < 0.5, pictures, pictures.flip(3))
    moves = torch.randint(-2, 3, (2,)).tolist()
    return mirrored.roll(moves, (2, 3))


def accuracy(model: nn.Module, pictures: Tensor, labels: Tensor) -> float:
    """Return the share of pictures that get their class."""
    with torch.inference_mode():
        found = torch.cat([model(batch).argmax(1) for batch in pictures.split(500)])
    return (found == labels).float().mean().item()


def main() -> None:
    """Train; the same seed gives the same network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=6)
    epochs = parser.parse_args().epochs
    torch.manual_seed(0)
    (pictures, labels), tested = load("train"), load("test")
    model = net(int(labels.max()) + 1)
    batches = -(-len(labels) // 128)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=5e-3, total_steps=epochs * batches)
    for epoch in range(epochs):
        for batch in torch.randperm(len(labels)).chunk(batches):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model.train()(augmented(pictures[batch])), labels[batch])
            loss.backward()
            optimiser.step()
            schedule.step()
        right = accuracy(model.eval(), *tested)
        print(f"epoch {epoch + 1}: {right:.1%} of the test pictures are right", flush=True)  # noqa: T201
    save_file(model.state_dict(), "weights.safetensors")


if __name__ == "__main__":
    main()
