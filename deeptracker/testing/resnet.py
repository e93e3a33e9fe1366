"""A small residual network for the demo, the tests and the benchmarks: minutes on a processor, yet a real one."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """Two 3 × 3 convolutions, each with batch normalisation, and a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            if stride != 1 or inputs != outputs
            else nn.Identity()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images × channels × rows × columns."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class SmallResNet(nn.Module):
    """Stem, stages ``layer1``, ``layer2``, … of residual blocks, and one linear layer.

    Parameters
    ----------
    classes, bands : number of classes, and of bands of the images.
    widths : filters of each stage.
    blocks : residual blocks a stage.
    stem_stride : 2 for speed; CIFAR's ResNet-20 is ``widths=(16, 32, 64), blocks=3, stem_stride=1``.
    """

    def __init__(
        self,
        classes: int = 10,
        bands: int = 1,
        widths: tuple[int, ...] = (16, 32, 64),
        blocks: int = 1,
        stem_stride: int = 2,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(bands, widths[0], 3, stem_stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        inputs = widths[0]
        self.stages = len(widths)
        for number, width in enumerate(widths, 1):
            stage = []
            for position in range(blocks):
                stage.append(Block(inputs, width, 2 if number > 1 and position == 0 else 1))
                inputs = width
            self.add_module(f"layer{number}", nn.Sequential(*stage))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images × bands × rows × columns → images × classes."""
        x = torch.relu(self.bn1(self.conv1(x)))
        for number in range(1, self.stages + 1):
            x = getattr(self, f"layer{number}")(x)
        return self.fc(x.mean((2, 3)))
