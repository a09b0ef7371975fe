"""Corrupted images: thirteen corruptions at five severities, for measuring robustness.

The idea is Hendrycks and Dietterich's (ICLR 2019, arXiv:1903.12261), the images are not: **the severities are genas's
own** and results must not be compared with published ImageNet-C or CIFAR-C figures. Those benchmarks fix one list per
image size; here one list serves images of 16 and of 224 pixels. Lengths (blur, displacement, blocks) are given in
pixels for a side of 32 and grow with the square root of the side, `length`: between a fixed number of pixels, which a
large image would hardly show, and a fixed share of the side, which would leave a small image untouched. Every other
strength (noise, quality, bits, factors) is the same at all sizes.

Random numbers are a function of (seed, corruption, number of the image), never of the severity, the batch or the
network: all networks and all severities of one corruption see the same noise (common random numbers).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from genas.core.errors import ConfigError
from genas.core.seeding import torch_rng

SEVERITIES = (1, 2, 3, 4, 5)
Group = Literal["noise", "blur", "digital", "tone"]
Draw = Callable[[Callable[[torch.Generator], Tensor]], Tensor]  # one generator per image, results stacked


@dataclass(frozen=True)
class Corruption:
    """One way to spoil images.

    Args:
        name: short name.
        group: what it is counted under.
        strengths: one per severity, in the unit that `unit` names.
        unit: what a strength means.
        apply: ([B, C, H, W] in [0, 1], strength, `Draw`) to images of the same shape, not yet clamped.
        coloured: does nothing to images of one channel.
    """

    name: str
    group: Group
    strengths: tuple[float, ...]
    unit: str
    apply: Callable[[Tensor, float, Draw], Tensor]
    coloured: bool = False

    def __call__(self, images: Tensor, severity: int, numbers: Sequence[int], seed: int) -> Tensor:
        """Corrupts a batch.

        Args:
            images: [B, C, H, W] in [0, 1], float32.
            severity: 1 to 5.
            numbers: which images of the set these are, one per image; the random numbers depend on it.
            seed: of the random numbers.

        Returns:
            [B, C, H, W] in [0, 1], on the same device.
        """

        def draw(one: Callable[[torch.Generator], Tensor]) -> Tensor:
            drawn = [one(torch_rng(seed, "corruption", self.name, int(number))) for number in numbers]
            return torch.stack(drawn).to(images.device)

        return self.apply(images, self.strengths[severity - 1], draw).clamp(0, 1)


def _corruption(
    name: str, group: Group, strengths: tuple[float, ...], unit: str, *, coloured: bool = False
) -> Callable[[Callable[[Tensor, float, Draw], Tensor]], Corruption]:
    """Makes a corruption of the function below it; the arguments are those of `Corruption`."""
    return lambda apply: Corruption(name, group, strengths, unit, apply, coloured)


@_corruption("gaussian-noise", "noise", (0.04, 0.07, 0.11, 0.16, 0.22), "standard deviation")
def _gaussian_noise(images: Tensor, strength: float, draw: Draw) -> Tensor:
    return images + strength * draw(lambda rng: torch.randn(images.shape[1:], generator=rng))


@_corruption("shot-noise", "noise", (250, 100, 45, 20, 9), "counts of light at white")
def _shot_noise(images: Tensor, strength: float, draw: Draw) -> Tensor:
    # Counts of light: a Poisson variable in its normal approximation, so that one draw serves every severity.
    return images + (images / strength).sqrt() * draw(lambda rng: torch.randn(images.shape[1:], generator=rng))


@_corruption("impulse-noise", "noise", (0.01, 0.03, 0.06, 0.1, 0.17), "share of values struck")
def _impulse_noise(images: Tensor, strength: float, draw: Draw) -> Tensor:
    # A value once struck stays struck at higher severities; half of them turn black, half white.
    uniform = draw(lambda rng: torch.rand((2, *images.shape[1:]), generator=rng))
    return torch.where(uniform[:, 0] < strength, (uniform[:, 1] < 0.5).to(images.dtype), images)


def length(pixels: float, side: int) -> float:
    """A length in pixels at `side` for one of `pixels` at a side of 32."""
    return pixels * math.sqrt(side / 32)


def _transforms() -> Any:
    """Torchvision's functions, which take more than a second to import."""
    from torchvision.transforms.v2 import functional as transforms

    return transforms


@_corruption("gaussian-blur", "blur", (0.5, 0.75, 1.0, 1.4, 1.9), "sigma, pixels at a side of 32")
def _gaussian_blur(images: Tensor, strength: float, draw: Draw) -> Tensor:
    side = _side(images)
    sigma = length(strength, side)
    size = 2 * min(math.ceil(3 * sigma), side - 1) + 1
    # one direction after the other: the same filter for a fraction of the work
    across = _transforms().gaussian_blur(images, [size, 1], [sigma, sigma])
    both: Tensor = _transforms().gaussian_blur(across, [1, size], [sigma, sigma])
    return both


@_corruption("defocus-blur", "blur", (0.8, 1.1, 1.5, 2.0, 2.7), "radius, pixels at a side of 32")
def _defocus_blur(images: Tensor, strength: float, draw: Draw) -> Tensor:
    side = _side(images)
    radius = length(strength, side)
    reach = min(math.ceil(radius), side - 1)
    line = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    distance = (line[:, None].square() + line.square()).sqrt()
    disc = (radius + 0.5 - distance).clamp(0, 1)  # a border pixel counts by the share that the disc covers
    return _filtered(images, disc.expand(len(images), -1, -1))


@_corruption("motion-blur", "blur", (2.0, 3.2, 4.6, 6.3, 8.5), "length, pixels at a side of 32")
def _motion_blur(images: Tensor, strength: float, draw: Draw) -> Tensor:
    side = _side(images)
    extent = length(strength, side)
    reach = min(math.ceil(extent / 2), side - 1)
    angle = math.pi * draw(lambda rng: torch.rand((), generator=rng))
    along = torch.linspace(-extent / 2, extent / 2, 8 * reach + 1, device=images.device)
    place = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    # Points of the line, each shared among its neighbours by the distance (bilinear).
    rows = (1 - (place[:, None] - along * angle.sin()[:, None, None]).abs()).clamp(min=0)  # [B, K, points]
    columns = (1 - (place[:, None] - along * angle.cos()[:, None, None]).abs()).clamp(min=0)
    return _filtered(images, rows @ columns.transpose(1, 2))


@_corruption("jpeg", "digital", (60, 35, 20, 11, 6), "quality")
def _jpeg(images: Tensor, strength: float, draw: Draw) -> Tensor:
    decoded: Tensor = _transforms().jpeg(_bytes(images).cpu(), round(strength))
    return decoded.to(images.device).to(images.dtype) / 255


@_corruption("pixelate", "digital", (1.6, 2.0, 2.6, 3.4, 4.5), "block, pixels at a side of 32")
def _pixelate(images: Tensor, strength: float, draw: Draw) -> Tensor:
    # Blocks of any width, not of whole pixels: a pixel on a border shows both blocks by the share that they cover.
    height, width = (_blocks(side, length(strength, _side(images)), images) for side in images.shape[2:])
    return height @ images @ width.T


def _blocks(side: int, block: float, like: Tensor) -> Tensor:
    """[side, side]: averages over blocks and spreads the averages over the blocks again."""
    count = max(1, round(side / block))
    edges = torch.linspace(0, side, count + 1, device=like.device, dtype=like.dtype)
    pixel = torch.arange(side, device=like.device, dtype=like.dtype)
    overlap = torch.minimum(edges[1:, None], pixel + 1) - torch.maximum(edges[:-1, None], pixel)
    overlap = overlap.clamp(min=0)  # [count, side]
    return overlap.T @ (overlap / overlap.sum(1, keepdim=True))


@_corruption("posterize", "digital", (5, 4, 3, 2, 1), "bits kept per channel")
def _posterize(images: Tensor, strength: float, draw: Draw) -> Tensor:
    kept: Tensor = _transforms().posterize(_bytes(images), round(strength))
    return kept.to(images.dtype) / 255


@_corruption("elastic", "digital", (0.3, 0.5, 0.8, 1.15, 1.6), "displacement, pixels at a side of 32")
def _elastic(images: Tensor, strength: float, draw: Draw) -> Tensor:
    size = list(images.shape[2:])
    knots = draw(lambda rng: torch.randn((2, 6, 6), generator=rng))
    field = functional.interpolate(knots, size, mode="bicubic", align_corners=True)  # smooth
    field = field / field.square().sum(1, keepdim=True).mean((2, 3), keepdim=True).sqrt()  # root mean square of one
    shift = length(strength, _side(images)) * field.permute(0, 2, 3, 1)  # pixels
    shift = shift * (2 / shift.new_tensor(size[::-1]))  # grid_sample counts 2 from border to border
    one = torch.eye(2, 3, device=images.device, dtype=images.dtype).expand(len(images), -1, -1)
    grid = functional.affine_grid(one, list(images.shape), align_corners=False) + shift
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


@_corruption("brightness", "tone", (1.25, 1.5, 1.8, 2.2, 2.8), "factor")
def _brightness(images: Tensor, strength: float, draw: Draw) -> Tensor:
    brighter: Tensor = _transforms().adjust_brightness(images, strength)
    return brighter


@_corruption("contrast", "tone", (0.75, 0.55, 0.4, 0.28, 0.18), "factor")
def _contrast(images: Tensor, strength: float, draw: Draw) -> Tensor:
    flatter: Tensor = _transforms().adjust_contrast(images, strength)
    return flatter


@_corruption("saturation", "tone", (0.7, 0.5, 0.3, 0.15, 0.0), "factor", coloured=True)
def _saturation(images: Tensor, strength: float, draw: Draw) -> Tensor:
    paler: Tensor = _transforms().adjust_saturation(images, strength)
    return paler


def _side(images: Tensor) -> int:
    return min(images.shape[2:])


def _bytes(images: Tensor) -> Tensor:
    return (images * 255).round().clamp(0, 255).to(torch.uint8)


def _filtered(images: Tensor, kernels: Tensor) -> Tensor:
    """Filters each image [B, C, H, W] with its own kernel [B, K, K] (made to sum to one), borders reflected."""
    count, channels, height, width = images.shape
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    reach = kernels.shape[-1] // 2
    padded = functional.pad(images, (reach,) * 4, mode="reflect").view(
        1, count * channels, *[side + 2 * reach for side in (height, width)]
    )
    weights = kernels.repeat_interleave(channels, 0)[:, None].to(images.dtype)
    return functional.conv2d(padded, weights, groups=count * channels).view(count, channels, height, width)


_ALL = (
    _gaussian_noise,
    _shot_noise,
    _impulse_noise,
    _gaussian_blur,
    _defocus_blur,
    _motion_blur,
    _jpeg,
    _pixelate,
    _posterize,
    _elastic,
    _brightness,
    _contrast,
    _saturation,
)
CORRUPTIONS = {corruption.name: corruption for corruption in _ALL}
GROUPS: tuple[Group, ...] = ("noise", "blur", "digital", "tone")
EVERYTHING = "corruptions"


def is_corruption(name: str) -> bool:
    """Whether `name` stands for one or several corruptions."""
    return name == EVERYTHING or name in GROUPS or name in CORRUPTIONS


def open_corruptions(names: Sequence[str], channels: int) -> tuple[list[Corruption], list[str]]:
    """Corruptions by name.

    Args:
        names: of corruptions, of groups, or ``corruptions`` for all.
        channels: of the images.

    Returns:
        The corruptions in their usual order, and the names of those that do nothing to such images and are left out.

    Raises:
        ConfigError: an unknown name, or a corruption asked for by its own name that does nothing here.
    """
    wanted: set[str] = set()
    for name in names:
        if not is_corruption(name):
            raise ConfigError(
                f"unknown corruption {name!r}; known are {EVERYTHING} (all), the groups {', '.join(GROUPS)}, and "
                f"{', '.join(CORRUPTIONS)}."
            )
        wanted.update(one.name for one in _ALL if name in (EVERYTHING, one.group, one.name))
    idle = [one.name for one in _ALL if one.name in wanted and one.coloured and channels == 1]
    for name in idle:
        if name in names:
            raise ConfigError(f"{name} does nothing to images of one channel; leave it out.")
    return [one for one in _ALL if one.name in wanted and one.name not in idle], idle
