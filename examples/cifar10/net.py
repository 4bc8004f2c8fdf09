"""A residual network for pictures of 32 x 32 pixels; nothing in it knows Backlight."""

from torch import Tensor, nn


class Block(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(x + f(x))."""
        return nn.functional.relu(x + self.body(x))


def stem(channels: int, width: int) -> list[nn.Module]:
    """Return layers that halve the sides of a map."""
    return [nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]


def net(num_classes: int = 5) -> nn.Module:
    """Return the network, untrained."""
    body = nn.Sequential(*stem(3, 32), Block(32), *stem(32, 64), Block(64))
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, num_classes))
