"""A U-Net: a convolutional network for images that sees them at several resolutions."""

import math

import torch
from torch import nn
from torch.nn import functional

from scorelab.denoisers.noise_level import NoiseLevel
from scorelab.denoisers.parametrization import ParametrizedDenoiser, starting_at_zero

#: normalised groups of channels, where the number of channels allows it
_GROUPS = 8
#: kinds of devices on which activations are stored pixel by pixel; elsewhere they are stored channel by channel
_BY_PIXEL = ("cuda",)


class UNetDenoiser(ParametrizedDenoiser):
    """The network of Ronneberger et al. (2015) in the form of Ho et al. (2020), which is told the angle.

        N = Conv(silu(norm(U(Conv(c_in x), e))))    U: the levels, the last Conv starts at 0

    e are the features of the noise level, see `NoiseLevel`; how the posterior mean is made of N by the
    `parametrization`, see `ParametrizedDenoiser`.

    shape: (channels, height, width) of an image; height and width are multiples of 2^(levels - 1). dim, multipliers:
    level i has dim multipliers[i] channels, and images of 1/2^i of the height and of the width. blocks: residual blocks
    of a level, on the way down and on the way up each. attention: whether the lowest level has self-attention between
    its pixels.

    by_pixel: whether activations are stored pixel by pixel, a matter of speed; None leaves it to the kind of device.

    Raises ValueError for a height or a width that cannot be halved so often.
    """

    static, by_pixel = True, None

    def __init__(
        self,
        shape: tuple[int, int, int],
        dim: int,
        multipliers: list[int],
        blocks: int,
        attention: bool,
        parametrization: str,
        data_std: float,
    ):
        super().__init__(parametrization, data_std)
        channels, height, width = shape
        factor = 2 ** (len(multipliers) - 1)
        if height % factor or width % factor:
            raise ValueError(
                f"multipliers = {list(multipliers)} halve an image {len(multipliers) - 1} times, and images of "
                f"{height} x {width} are given: height and width that are multiples of {factor} are needed"
            )
        widths = [dim * multiplier for multiplier in multipliers]
        self.told = NoiseLevel(dim, 4 * dim)
        self.first = _convolution(channels, widths[0])
        self.levels = Level(widths[0], widths, blocks, 4 * dim, attention)
        self.norm = _norm(widths[0])
        self.last = starting_at_zero(_convolution(widths[0], channels))

    def output(self, x, angle):
        """See `ParametrizedDenoiser`; x (count, channels, height, width)."""
        by_pixel = x.device.type in _BY_PIXEL if self.by_pixel is None else self.by_pixel
        hidden = self.first(x)
        hidden = self.levels(hidden.to(memory_format=torch.channels_last) if by_pixel else hidden, self.told(angle))
        return self.last(functional.silu(self.norm(hidden)))


class Level(nn.Module):
    """One resolution and all below it: blocks, the lower resolutions, and blocks that see both.

    channels: of the images that come in. widths: channels of this level, which go out, and of the levels below.
    told: size of the features of the noise level.
    """

    def __init__(self, channels: int, widths: list[int], blocks: int, told: int, attention: bool):
        super().__init__()
        width, *lower = widths
        self.down = _residual_blocks(channels, width, blocks, told)
        self.below = Below(width, lower, blocks, told, attention) if lower else Bottom(width, told, attention)
        self.up = _residual_blocks(2 * width, width, blocks, told)

    def forward(self, x, told):
        for block in self.down:
            x = block(x, told)
        x = torch.cat([x, self.below(x, told)], 1)
        for block in self.up:
            x = block(x, told)
        return x


class Below(nn.Module):
    """The levels below a level: half the height and the width, and back."""

    def __init__(self, width: int, widths: list[int], blocks: int, told: int, attention: bool):
        super().__init__()
        self.shrink = _convolution(width, widths[0], stride=2)
        self.level = Level(widths[0], widths, blocks, told, attention)
        self.grow = _convolution(widths[0], width)

    def forward(self, x, told):
        return self.grow(functional.interpolate(self.level(self.shrink(x), told), scale_factor=2, mode="nearest"))


class Bottom(nn.Module):
    """What is below the lowest level: a block, or two with self-attention between them."""

    def __init__(self, width: int, told: int, attention: bool):
        super().__init__()
        self.first = ResidualBlock(width, width, told)
        self.attention = Attention(width) if attention else None
        self.second = ResidualBlock(width, width, told) if attention else None

    def forward(self, x, told):
        x = self.first(x, told)
        return x if self.attention is None else self.second(self.attention(x), told)


class ResidualBlock(nn.Module):
    """x + f(x), f two convolutions with group normalisation; the noise level scales and shifts the second norm."""

    def __init__(self, channels: int, width: int, told: int):
        super().__init__()
        self.norms = nn.ModuleList([_norm(channels), _norm(width)])
        self.convolutions = nn.ModuleList([_convolution(channels, width), starting_at_zero(_convolution(width, width))])
        self.scale_and_shift = nn.Linear(told, 2 * width)
        self.skip = nn.Conv2d(channels, width, 1) if channels != width else nn.Identity()

    def forward(self, x, told):
        hidden = self.convolutions[0](functional.silu(self.norms[0](x)))
        scale, shift = self.scale_and_shift(told)[:, :, None, None].chunk(2, 1)
        hidden = self.norms[1](hidden) * (1 + scale) + shift
        return self.skip(x) + self.convolutions[1](functional.silu(hidden))


class Attention(nn.Module):
    """x + self-attention between all pixels of an image, with one head."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = _norm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.out = starting_at_zero(nn.Linear(channels, channels))

    def forward(self, x):
        pixels = self.norm(x).flatten(2).transpose(1, 2)  # (count, pixels, channels)
        query, key, value = self.query_key_value(pixels).chunk(3, 2)
        seen = self.out(functional.scaled_dot_product_attention(query, key, value))
        return x + seen.transpose(1, 2).reshape(x.shape)


def _residual_blocks(channels: int, width: int, count: int, told: int) -> nn.ModuleList:
    """Residual blocks one after the other, the first of which changes the number of channels."""
    return nn.ModuleList(ResidualBlock(width if number else channels, width, told) for number in range(count))


def _convolution(channels: int, width: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, stride=stride, padding=1)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(_GROUPS, channels), channels)
