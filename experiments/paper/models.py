# SPDX-License-Identifier: Apache-2.0
"""ResNet18 and VGG16 as the authors train them on 32 x 32 images. `width` scales all channels: 64 is theirs. Used by
train.py."""
import torch
from torch import nn


class Block(nn.Module):
    """Two 3 x 3 convolutions with normalisation, and a way around them."""

    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))
        self.around = nn.Sequential()
        if stride != 1 or channels_in != channels:
            self.around = nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        return torch.relu(self.body(x) + self.around(x))


def resnet18(channels, classes, width=64):
    """ResNet18 with a first convolution for small images."""
    layers = [nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    before = width
    for stage, stride in enumerate((1, 2, 2, 2)):
        for part in range(2):
            layers.append(Block(before, width << stage, stride if part == 0 else 1))
            before = width << stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def vgg16(channels, classes, width=64):
    """VGG16 with normalisation and one linear layer, for 32 x 32 images."""
    layers, before = [], channels
    for stage, count in ((0, 2), (1, 2), (2, 3), (3, 3), (3, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(before, width << stage, 3, 1, 1), nn.BatchNorm2d(width << stage), nn.ReLU()]
            before = width << stage
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


MODELS = {"resnet18": resnet18, "vgg16": vgg16}
