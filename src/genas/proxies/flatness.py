"""Flatness of the loss around an architecture's weights (FBS; Jeong et al., GeNAS, IJCAI 2023).

With L(sigma) the validation loss under Gaussian weight noise of standard deviation sigma, sigma_1 < ... < sigma_t:

    F' = 1 / ( alpha |L(sigma_1) / sigma_1| + sum_i |L(sigma_{i+1}) - L(sigma_i)| / (sigma_{i+1} - sigma_i) + 1e-5 )

alpha = 0 is the naive form without the depth term. With alpha = 1 and sigma_1 = 0.001 (published) the depth term
dominates, so all terms are returned with the score.

One draw of such noise is a noisy measurement. What makes it repeatable, or measures another thing, is an option:
several draws (``draws``), each with its opposite (``antithetic``), images dealt out among the draws
(``draw_images``), noise relative to each filter's norm (``scale``), as much of it for every path (``noise_per``),
noise on a part of the weights (``parameters``), batch-norm statistics estimated anew under the noise (``batchnorm``).
``noise_seed`` draws other noise, so that a measurement can be repeated independently.

Deviations from the published code, each an option (methods.md 4.6): the noise has the nominal sigma (``noise``, G4), is
the same for all architectures (``common_noise``, G5), can be averaged over several draws (``draws``), and a short last
batch is weighted by its images (`EvaluationSettings.weighting`, G7).
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice, pairwise, product
from typing import ClassVar, Literal, Self, TypeVar

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from genas.core.device import memory_of
from genas.core.errors import GenasError
from genas.core.seeding import derive
from genas.core.settings import Settings
from genas.proxies.base import Look, PerImage
from genas.proxies.engine import Frozen
from genas.proxies.perturbation import Parameters, choose_parameters, filter_scale, keep_weights, unit_noise
from genas.proxies.scoring import Score, Scoring
from genas.spaces.base import Architecture, Network

Measured = TypeVar("Measured")
KEPT_NOISE = 256 << 20  # bytes of noise that are kept for the next architecture
KEPT_SHARE = 16  # of a GPU's memory, where more: noise is drawn on the CPU, which takes longer than an evaluation there
PATH_LAYERS = 10  # of a path whose layers get the same noise with ``noise_per`` layer and path
FLOOR = 1e-5  # published code: keeps the inverse finite


class FlatnessSettings(Settings):
    """The flatness measure."""

    former_names: ClassVar[Mapping[str, str]] = {"draw_pictures": "draw_images"}

    of_means: ClassVar[tuple[str, ...]] = ("alpha",)
    """Fields that have no say in what is measured on each image."""

    sigmas: tuple[float, ...] = (0.001, 0.003, 0.006)
    """Standard deviations of the weight noise, increasing (methods.md 4.3); with ``scale=filter`` in units of each
    filter's root mean square."""
    alpha: float = Field(1.0, ge=0)
    """Weight of the depth term (the published code has none: 1); 0 is the naive form."""
    noise: Literal["direct", "accumulated", "nominal-increments"] = "direct"
    """``direct``: fresh noise of sigma_i on the unperturbed weights. ``accumulated``: increments whose sum has sigma_i.
    ``nominal-increments``: increments of sigma_i - sigma_{i-1}, as published (G4)."""
    draws: int = Field(1, ge=1)
    """Independent noise draws that losses are averaged over (published: 1)."""
    antithetic: bool = False
    """Measure each draw under the noise and under its opposite: twice the passes; what is odd in the noise cancels."""
    draw_images: Literal["all", "dealt"] = "all"
    """``all``: every draw is measured on all images. ``dealt``: each on its own share of them, the same for all
    architectures, so that more draws cost no more passes; such a score is not raced."""
    common_noise: bool = True
    """The same noise for all architectures; off: noise of its own for each, as published (G5)."""
    noise_seed: int = Field(0, ge=0)
    """Which independent set of draws; 0 is the run's own."""
    scale: Literal["absolute", "filter"] = "absolute"
    """``absolute``: sigma in every parameter, as published. ``filter``: sigma times each filter's root mean square, and
    none on biases and batch norm's scales and shifts."""
    noise_per: Literal["layer", "path"] = "layer"
    """``layer``: each layer gets noise of sigma, so a path with more layers gets more of it. ``path``, with
    ``scale=filter``: each of a path's L layers gets sigma sqrt(10 / L), so that the squared relative noises of every
    path add up to 10 sigma^2 (genas's own, studies/macro)."""
    parameters: Parameters = "all"
    """What gets noise: all that the path has (published), convolutions' weights, the searched cells, or what lies
    outside of them and every path shares."""
    batchnorm: Literal["kept", "recomputed"] = "kept"
    """``kept``: the statistics of the unperturbed path, as published. ``recomputed``: estimated anew under each noise,
    from the images of `BatchNormSettings`."""

    @field_validator("sigmas")
    @classmethod
    def _increasing(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) < 2:
            raise ValueError("at least two sigmas are needed for a slope")
        if any(not sigma > 0 for sigma in value):
            raise ValueError("every sigma must be above 0")
        if any(second <= first for first, second in pairwise(value)):
            raise ValueError("the sigmas must increase")
        return value

    @model_validator(mode="after")
    def _relative(self) -> Self:
        if self.noise_per == "path" and self.scale != "filter":
            raise ValueError("noise_per=path shares relative noise out among layers; it needs scale=filter")
        return self


class RelativeFlatnessSettings(FlatnessSettings):
    """Flatness under noise relative to each filter's size: the preset that studies/flatness found to say most.

    Found on NAS-Bench-201. On NAS-Bench-Macro, whose paths differ in layers without shortcut, it ranks backwards after
    a short training of the supernet; ``noise_per=path`` does not (studies/macro).
    """

    sigmas: tuple[float, ...] = (0.1, 0.2, 0.4)
    """In units of each filter's root mean square, increasing."""
    scale: Literal["absolute", "filter"] = "filter"
    """See `FlatnessSettings`."""
    draws: int = Field(32, ge=1)
    """Independent noise draws that losses are averaged over."""
    draw_images: Literal["all", "dealt"] = "dealt"
    """See `FlatnessSettings`; all draws together cost as many passes as the one draw of the published measure."""


def flatness_terms(
    sigmas: tuple[float, ...], losses: tuple[float, ...], alpha: float
) -> tuple[float, list[float], float]:
    """The measure from the losses.

    Args:
        sigmas: increasing, above 0.
        losses: mean loss at each sigma.
        alpha: weight of the depth term.

    Returns:
        The flatness, the absolute slope of each interval, the depth term (with alpha).
    """
    slopes = [
        abs((second - first) / (wide - narrow))
        for (first, second), (narrow, wide) in zip(pairwise(losses), pairwise(sigmas), strict=True)
    ]
    depth = alpha * abs(losses[0] / sigmas[0])
    return 1.0 / (depth + sum(slopes) + FLOOR), slopes, depth


class Flatness(PerImage):
    """F' on the validation half."""

    name = "flatness"
    Settings = FlatnessSettings
    explanation = (
        "1 / (depth term + sum of the slopes): how slowly the validation loss grows under Gaussian noise on the "
        "weights. Higher is flatter."
    )
    formula = "1 / (alpha |L(s_1) / s_1| + sum_i |L(s_i+1) - L(s_i)| / (s_i+1 - s_i))"
    citation = "GeNAS (IJCAI 2023)"
    passes = "B + N x sigmas x draws (x 2 with `antithetic`; + B for each noise with `batchnorm=recomputed`)"
    terms: ClassVar = {
        "sigmas": "strengths of the weight noise",
        "losses": "validation loss at each of the sigmas, mean over the noise draws",
        "losses_by_draw": "the same for each noise draw",
        "slopes": "absolute change of the loss from one sigma to the next, divided by the step",
        "depth_term": "alpha times the loss at the smallest sigma divided by it: low where the loss itself is low",
    }
    settings: FlatnessSettings

    def __init__(self, scoring: Scoring, settings: FlatnessSettings | None = None) -> None:
        super().__init__(scoring, settings)
        # a layer without a way to the output has no part in the function, but in the number of layers
        self.by_function = self.settings.common_noise and self.settings.noise_per == "layer"
        self._kept: dict[tuple[int, int, str], Tensor] = {}
        self._kept_bytes = 0
        device = scoring.fabric.device
        self._room = KEPT_NOISE if device.type == "cpu" else max(KEPT_NOISE, (memory_of(device)[1] or 0) // KEPT_SHARE)

    @property
    def raceable(self) -> bool:
        """A function of means over images, unless batches are averaged instead or each draw has its own images.

        Images of one draw share its luck, which a race, that resamples single images, would not see.
        """
        return super().raceable and self.settings.draw_images == "all"

    @property
    def columns(self) -> int:
        """One for each measurement and sigma."""
        return self.measurements * len(self.settings.sigmas)

    @property
    def measurements(self) -> int:
        """Losses at each sigma: one for each draw, two with the opposites."""
        return self.settings.draws * (2 if self.settings.antithetic else 1)

    def measure(self, architecture: Architecture, look: Look) -> list[Tensor]:
        """Cross-entropy under each noise: for every measurement, sigma by sigma."""
        rows = self._draws(architecture, self.settings.sigmas, lambda network, share: look(network, share)[0])
        return [column for row in rows for column in row]

    def score_of_means(self, architecture: Architecture, means: Tensor) -> Score:
        """See the module's text; terms: sigmas, losses (mean of draws), losses_by_draw, slopes, depth_term.

        With ``antithetic``, ``losses_by_draw`` has two rows for each draw: the noise and its opposite.
        """
        settings = self.settings
        by_draw = means.view(self.measurements, len(settings.sigmas))
        losses = tuple(by_draw.mean(0).tolist())
        if not all(math.isfinite(loss) for loss in losses):
            raise GenasError(f"the loss under noise is not finite: {losses}")
        value, slopes, depth = flatness_terms(settings.sigmas, losses, settings.alpha)
        return Score(
            value,
            {
                "sigmas": list(settings.sigmas),
                "losses": list(losses),
                "losses_by_draw": by_draw.tolist(),
                "slopes": slopes,
                "depth_term": depth,
            },
        )

    def values_of_means(self, architecture: Architecture, means: Tensor) -> Tensor:
        """`flatness_terms`, a row at a time."""
        settings = self.settings
        losses = means.view(len(means), self.measurements, len(settings.sigmas)).mean(1)
        steps = torch.tensor(settings.sigmas, dtype=torch.float64).diff()
        slopes = (losses.diff(dim=1) / steps).abs().sum(1)
        depth = settings.alpha * (losses[:, 0] / settings.sigmas[0]).abs()
        return 1.0 / (depth + slopes + FLOOR)

    def normalised(self, score: Score) -> float:
        """FBS / sigma_1, so that a weight w means gamma = w / sigma_1 (methods.md 4.3)."""
        return score.value / self.settings.sigmas[0]

    def losses(self, architecture: Architecture, sigmas: tuple[float, ...]) -> list[list[float]]:
        """Validation loss at each sigma: [measurements][len(sigmas)]. A sigma of 0 is the unperturbed loss."""
        return list(self.losses_from(architecture, sigmas, 0))

    def losses_from(self, architecture: Architecture, sigmas: tuple[float, ...], first: int) -> Iterator[list[float]]:
        """The rows of `losses` as they come, from a measurement on: a walk that can be stopped and continued."""
        yield from self._draws(
            architecture, sigmas, lambda network, share: self.scoring.evaluate(network, share).loss, first
        )

    def _share(self, draw: int) -> slice | None:
        """The batches of the random walk that a draw is measured on, at least one; None for all images."""
        if self.settings.draw_images == "all":
            return None
        start, stop = (self.scoring.batch_count * place // self.settings.draws for place in (draw, draw + 1))
        return slice(start, max(stop, start + 1))

    def _draws(
        self,
        architecture: Architecture,
        sigmas: tuple[float, ...],
        measure: Callable[[Network | Frozen, slice | None], Measured],
        first: int = 0,
    ) -> Iterator[list[Measured]]:
        seed = self.scoring.seed
        if self.settings.noise_seed:
            seed = derive(seed, "flatness.noise", self.settings.noise_seed)
        if not self.settings.common_noise:
            seed = derive(seed, "flatness.own", architecture.genotype)
        signs = (1.0, -1.0) if self.settings.antithetic else (1.0,)
        try:
            for draw, sign in islice(product(range(self.settings.draws), signs), first, None):
                yield self._one_draw(architecture, sigmas, seed, draw, sign, measure)
        except BaseException:
            self.scoring.forget()
            raise

    def _noise(self, parameter: Tensor, seed: int, draw: int, position: int, name: str) -> Tensor:
        """Common noise is drawn once and kept, as long as it fits: other architectures want the same."""
        key = (draw, position, name)
        if key in self._kept and self.settings.common_noise:
            return self._kept[key]
        noise = unit_noise(parameter, seed, "flatness", draw, position, name)
        size = noise.numel() * noise.element_size()
        if self.settings.common_noise and self._kept_bytes + size <= self._room:
            self._kept[key] = noise
            self._kept_bytes += size
        return noise

    def _one_draw(
        self,
        architecture: Architecture,
        sigmas: tuple[float, ...],
        seed: int,
        draw: int,
        sign: float,
        measure: Callable[[Network | Frozen, slice | None], Measured],
    ) -> list[Measured]:
        network = self.scoring.prepared(architecture)
        losses, share = [], self._share(draw)
        waiting: deque[Network | Frozen] = deque()
        recomputed = self.settings.batchnorm == "recomputed"
        with keep_weights(network, buffers=recomputed) as original:
            moved = self._moved(network, original)
            previous = 0.0
            for position, sigma in enumerate(sigmas):
                with torch.no_grad():
                    for name, parameter, factor in moved:
                        noise = self._noise(parameter, seed, draw, position, name)
                        if factor is not None:
                            noise = noise * factor
                        if self.settings.noise == "direct":
                            parameter.copy_(original[name] + sign * sigma * noise)
                        elif self.settings.noise == "accumulated":
                            parameter.add_(sign * math.sqrt(sigma**2 - previous**2) * noise)
                        else:
                            parameter.add_(sign * (sigma - previous) * noise)
                previous = sigma
                if recomputed:
                    self.scoring.recalibrate(network, architecture)
                waiting.append(self.scoring.frozen(network))
                if len(waiting) > self.scoring.ahead:
                    losses.append(measure(waiting.popleft(), share))
            losses += [measure(one, share) for one in waiting]
        return losses

    def _moved(
        self, network: Network, original: Mapping[str, Tensor]
    ) -> Iterable[tuple[str, nn.Parameter, Tensor | None]]:
        """Name, parameter and what unit noise on it is multiplied by (None: by 1), of all that gets noise."""
        moved: list[tuple[str, nn.Parameter, Tensor | None]] = []
        for name, parameter in choose_parameters(network, self.settings.parameters).items():
            if self.settings.scale == "absolute":
                moved.append((name, parameter, None))
            elif (factor := filter_scale(original[name])) is not None:
                moved.append((name, parameter, factor))
        if self.settings.noise_per == "path" and moved:
            share = math.sqrt(PATH_LAYERS / len(moved))
            moved = [(name, parameter, share * factor) for name, parameter, factor in moved if factor is not None]
        return moved


class RelativeFlatness(Flatness):
    """`Flatness` at the settings of `RelativeFlatnessSettings`."""

    name = "relative-flatness"
    Settings = RelativeFlatnessSettings
    explanation = "As flatness, under noise in proportion to the size of each filter."
    formula = "as flatness, s_i in units of each filter's root mean square"
    citation = "genas"
    passes = "B + 3 N"
