"""How sharp the minimum of a path is, by other means than Gaussian noise; higher is flatter for all.

    sharpness           - [ L(w + e) - L(w) ], e one ascent step of a given length, from the gradient of some images
                        and measured on others: e = rho g / |g| (SAM: Foret et al., ICLR 2021, arXiv:2010.01412), or the
                        scale-invariant e = rho T^2 g / |T g|, T = |w| (ASAM: Kwon et al., ICML 2021, arXiv:2102.11600)
    hessian-trace       - tr(H), H the Hessian of the loss, by Hutchinson's estimate: the mean of v' H v over random
                        signs v
    gradient-norm       - |g|, what is left of the gradient at the supposed minimum
    neighbour-flatness  the mean flatness of an architecture and some that differ from it by one mutation

The first three have a scaled form, in which w is measured in units of its own size: g becomes T g and H becomes T H T.
Batch norm lets networks of one function have weights of any scale, and the plain forms change with it.

The network is in evaluation mode with recalibrated batch norm, gradients are in the weights' own precision, second
derivatives by double backward: exact where the network is smooth, blind to the kinks of the ReLUs, and, at two backward
passes for each probe, as dear as a finite difference of gradients whose step would have to be chosen.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from genas.core.arithmetic import ceil_div
from genas.core.errors import ConfigError, GenasError
from genas.core.seeding import derive, python_rng, torch_rng
from genas.core.settings import Settings
from genas.proxies.accuracy import TERMS
from genas.proxies.base import Look, PerImage, Proxy, WithoutImages
from genas.proxies.flatness import Flatness, FlatnessSettings
from genas.proxies.perturbation import Parameters, ascent, choose_parameters, keep_weights
from genas.proxies.scoring import Score, Scoring
from genas.spaces.base import Architecture, Network

Batches = Iterator[tuple[Tensor, Tensor]]
_LOSS = {"loss": TERMS["loss"]}


class CurvatureSettings(Settings):
    """Sharpness, curvature and the like."""

    former_names: ClassVar[Mapping[str, str]] = {"pictures": "images"}

    images: int = Field(256, ge=1)
    """At most that many images give the gradient or the Hessian. genas's own."""
    source: Literal["weights", "validation"] = "weights"
    """Where they come from: the half that the supernet was trained on, not augmented; or held images, which follow
    the `evaluation.images` that scores are computed on."""
    subset: int = Field(0, ge=0)
    """Which random images, and which probes: each number is a drawing of its own, to measure repeatedly."""
    parameters: Parameters = "all"
    """What is moved: all that the path has, convolutions' weights, the searched cells, or what lies outside of them."""
    form: Literal["plain", "scaled"] = "plain"
    """``scaled``: every weight in units of its own size; a scale that batch norm undoes has no say then."""
    radius: float | None = Field(None, gt=0)
    """Length of the ascent step; None for the published one of the form (Foret et al.: 0.05; Kwon et al.: 0.5)."""
    probes: int = Field(8, ge=1)
    """Random sign vectors of the trace. genas's own; the score's terms give the standard error."""
    neighbours: int = Field(4, ge=1)
    """Mutated architectures that ``neighbour-flatness`` looks at beside the architecture itself. genas's own."""


def gradient_batches(scoring: Scoring, settings: CurvatureSettings) -> Batches:
    """The images that give gradients, in the layout of prepared networks, and their labels; always the same.

    Raises:
        ConfigError: see `held_start`.
    """
    size, device = scoring.evaluation.batch_size, scoring.fabric.device
    if settings.source == "validation":
        start = held_start(scoring, settings)
        limit = start * size + settings.images
        seed = scoring.validation_seed
        walk = scoring.splits.validation.batches(size, device, seed=seed, shuffle=True, start=start, limit=limit)
    else:
        seed = derive(scoring.seed, "proxy.curvature", settings.subset)
        walk = scoring.splits.weights.batches(size, device, seed=seed, shuffle=True, limit=settings.images)
    for images, labels in walk:
        yield scoring.laid_out(images), labels


def held_start(scoring: Scoring, settings: CurvatureSettings) -> int:
    """Which batch of the random walk through the validation half is the first of the held images.

    Raises:
        ConfigError: too few images are left beside those that scores are computed on.
    """
    size, have = scoring.evaluation.batch_size, len(scoring.splits.validation)
    before = settings.subset * ceil_div(settings.images, size)
    start = scoring.batch_count + before
    if start * size + settings.images > have:
        room = (have - settings.images) // size * size - before * size
        mend = f"set proxy.evaluation.images to at most {room}" if room > 0 else "set proxy.curvature.images lower"
        raise ConfigError(
            f"proxy.curvature.source=validation wants {settings.images} held images (set {settings.subset}) beside "
            f"those that scores are computed on, and these are {scoring.validation_count} of {have}; {mend}, or take "
            "source=weights."
        )
    return start


def loss_and_gradient(
    network: nn.Module, batches: Batches, parameters: Mapping[str, nn.Parameter] | None = None
) -> tuple[float, dict[str, Tensor]]:
    """Mean cross-entropy over all images and its gradient by parameter name; no ``.grad`` is touched.

    Args:
        network: called with each batch's images.
        batches: normalised images and labels on the network's device.
        parameters: those of the network that are asked for, by name; None for all that require a gradient.
    """
    if parameters is None:
        parameters = {name: value for name, value in network.named_parameters() if value.requires_grad}
    sums = {name: torch.zeros_like(value) for name, value in parameters.items()}
    total, count = 0.0, 0
    for images, labels in batches:
        loss = functional.cross_entropy(network(images).double(), labels, reduction="sum")
        parts = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True) if parameters else ()
        for name, part in zip(parameters, parts, strict=True):
            if part is not None:
                sums[name] += part
        total += float(loss.detach())
        count += len(labels)
    return total / count, {name: value / count for name, value in sums.items()}


def trace_samples(
    network: nn.Module, batches: Batches, parameters: Mapping[str, nn.Parameter], probes: list[dict[str, Tensor]]
) -> Tensor:
    """``v' H v`` for each probe v, H the Hessian of the mean cross-entropy over all images ([probes] float64).

    Args:
        network: called with each batch's images.
        batches: normalised images and labels on the network's device.
        parameters: those of the network that H is about, by name.
        probes: one vector each, by parameter name.
    """
    samples = torch.zeros(len(probes), dtype=torch.float64)
    count = 0
    for images, labels in batches:
        count += len(labels)
        if not parameters:
            continue
        loss = functional.cross_entropy(network(images).double(), labels, reduction="sum")
        parts = torch.autograd.grad(loss, list(parameters.values()), create_graph=True, allow_unused=True)
        reached = {name: part for name, part in zip(parameters, parts, strict=True) if part is not None}
        wanted = [parameters[name] for name in reached]
        for place, probe in enumerate(probes):
            slopes = [(part * probe[name]).sum() for name, part in reached.items() if part.requires_grad]
            if not slopes:
                continue  # the loss is linear in them
            second = torch.autograd.grad(torch.stack(slopes).sum(), wanted, retain_graph=True, allow_unused=True)
            pairs = zip(reached, second, strict=True)
            products = [(part * probe[name]).double().sum() for name, part in pairs if part is not None]
            samples[place] += float(torch.stack(products).sum()) if products else 0.0
    return samples / count


class _WithGradients(Proxy):
    """A measure that takes the gradient on the images of `gradient_batches`."""

    Settings = CurvatureSettings
    section = "curvature"
    by_function = True
    needs_gradients = True
    settings: CurvatureSettings

    def __init__(self, scoring: Scoring, settings: CurvatureSettings | None = None) -> None:
        super().__init__(scoring, settings)
        if self.settings.source == "validation":
            held_start(scoring, self.settings)  # a fault shows before anything is computed


class _AtTheMinimum(_WithGradients, WithoutImages):
    """A measure of the loss's derivatives at the supernet's weights."""

    def sizes(self, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
        """T: what a unit of each parameter is."""
        scaled = self.settings.form == "scaled"
        return {name: value.detach().abs() if scaled else torch.ones_like(value) for name, value in parameters.items()}


class GradientNorm(_AtTheMinimum):
    """Minus the norm of the gradient."""

    name = "gradient-norm"
    explanation = "Minus the norm of the gradient that is left at the supernet's weights."
    formula = "- |g|"
    citation = "-"
    passes = "B + 3 P"
    terms = _LOSS

    def score(self, architecture: Architecture) -> Score:
        """Terms: loss on the images that give the gradient."""
        network = self.scoring.prepared(architecture)
        parameters = choose_parameters(network, self.settings.parameters)
        loss, gradient = loss_and_gradient(network, gradient_batches(self.scoring, self.settings), parameters)
        sizes = self.sizes(parameters)
        square = math.fsum(float((sizes[name] * value).double().square().sum()) for name, value in gradient.items())
        return Score(-math.sqrt(square), {"loss": loss})


class HessianTrace(_AtTheMinimum):
    """Minus Hutchinson's estimate of the trace of the Hessian."""

    name = "hessian-trace"
    explanation = "Minus the trace of the Hessian, estimated. Closer to 0 is flatter."
    formula = "- mean of v' H v over random signs v"
    citation = "Hutchinson (1989)"
    passes = "B + about P (3 + 4 x probes)"
    terms: ClassVar = {"error": "standard error of the estimate over its random probes"}

    def score(self, architecture: Architecture) -> Score:
        """Terms: error (standard error of the estimate, from the spread of the probes; null with one)."""
        network = self.scoring.prepared(architecture)
        parameters = choose_parameters(network, self.settings.parameters)
        sizes = self.sizes(parameters)
        probes = [
            {name: sizes[name] * self._signs(value, name, probe) for name, value in parameters.items()}
            for probe in range(self.settings.probes)
        ]
        samples = trace_samples(network, gradient_batches(self.scoring, self.settings), parameters, probes)
        error = float(samples.std()) / math.sqrt(len(samples)) if len(samples) > 1 else None
        return Score(-float(samples.mean()), {"error": error})

    def _signs(self, value: Tensor, name: str, probe: int) -> Tensor:
        """Common to all architectures that have the parameter, as the noise of the flatness is."""
        rng = torch_rng(self.scoring.seed, "curvature.probe", self.settings.subset, probe, name)
        return (2 * torch.randint(0, 2, value.shape, generator=rng) - 1).to(value, non_blocking=True)


class Sharpness(_WithGradients, PerImage):
    """Minus the rise of the loss after one ascent step; the gradient is computed anew for each part of a race."""

    name = "sharpness"
    explanation = "Minus the rise of the loss after one ascent step. Closer to 0 is flatter."
    formula = "- (L(w + e) - L(w)), e one ascent step"
    citation = "SAM (ICLR 2021); scaled: ASAM (ICML 2021)"
    passes = "B + 2 N + 3 P, in a race 3 P more for each round"
    terms: ClassVar = {**_LOSS, "rise": "increase of the loss after the ascent step"}

    @property
    def radius(self) -> float:
        """Length of the step."""
        published = 0.5 if self.settings.form == "scaled" else 0.05
        return published if self.settings.radius is None else self.settings.radius

    @property
    def columns(self) -> int:
        """Loss before and after the step."""
        return 2

    def measure(self, architecture: Architecture, look: Look) -> list[Tensor]:
        """Cross-entropy before and after the step."""
        network = self.scoring.prepared(architecture)
        before = look(network, None)[0]
        with self._stepped(network):
            return [before, look(network, None)[0]]

    def score_of_means(self, architecture: Architecture, means: Tensor) -> Score:
        """Terms: loss, rise."""
        before, after = means.tolist()
        if not (math.isfinite(before) and math.isfinite(after)):
            raise GenasError(f"the loss around the ascent step is not finite: {before} before, {after} after it")
        return Score(before - after, {"loss": before, "rise": after - before})

    def values_of_means(self, architecture: Architecture, means: Tensor) -> Tensor:
        """Minus the rises."""
        return means[:, 0] - means[:, 1]

    @contextmanager
    def _stepped(self, network: Network) -> Iterator[None]:
        """The network's weights one step up the gradient."""
        try:
            parameters = choose_parameters(network, self.settings.parameters)
            _, gradient = loss_and_gradient(network, gradient_batches(self.scoring, self.settings), parameters)
            with keep_weights(network) as original:
                steps = ascent(original, gradient, self.radius, self.settings.form == "scaled")
                with torch.no_grad():
                    for name, step in steps.items():
                        parameters[name].add_(step)
                yield
        except BaseException:
            self.scoring.forget()
            raise


class NeighbourFlatness(PerImage):
    """Mean flatness over an architecture and its neighbours: a good place in a good region of the space.

    Args:
        scoring: the trained supernet and the data.
        settings: how many neighbours.
        flatness: how flatness is measured.
    """

    name = "neighbour-flatness"
    Settings = CurvatureSettings
    section = "curvature"
    reads = (Flatness,)
    explanation = "Mean flatness of the architecture and of some mutated children."
    formula = "mean of flatness over a and mutated children of a"
    citation = "genas"
    passes = "(1 + neighbours) times `flatness`"
    terms: ClassVar = {
        "own": "flatness of the architecture itself",
        "neighbours": "flatness of each of the children, by genotype",
    }
    settings: CurvatureSettings

    def __init__(
        self,
        scoring: Scoring,
        settings: CurvatureSettings | None = None,
        flatness: FlatnessSettings | None = None,
    ) -> None:
        super().__init__(scoring, settings)
        self.flatness = Flatness(scoring, flatness)

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """Mutated children, a function of the seed and the genotype; different ones wherever the space has them."""
        rng = python_rng(self.scoring.seed, "proxy.neighbours", architecture.genotype)
        found: dict[Architecture, None] = {}
        for _ in range(20 * self.settings.neighbours):
            found[self.scoring.space.mutate(architecture, rng)] = None
            if len(found) == self.settings.neighbours:
                break
        children = list(found)
        return [children[place % len(children)] for place in range(self.settings.neighbours)]

    @property
    def raceable(self) -> bool:
        """As flatness."""
        return self.flatness.raceable

    @property
    def columns(self) -> int:
        """Those of flatness for the architecture and for each neighbour."""
        return (1 + self.settings.neighbours) * self.flatness.columns

    def measure(self, architecture: Architecture, look: Look) -> list[Tensor]:
        """The columns of flatness, the architecture's own first."""
        everyone = [architecture, *self.neighbours(architecture)]
        return [column for one in everyone for column in self.flatness.measure(one, look)]

    def score_of_means(self, architecture: Architecture, means: Tensor) -> Score:
        """Terms: own (flatness of the architecture), neighbours (flatness by genotype)."""
        everyone = [architecture, *self.neighbours(architecture)]
        rows = means.view(len(everyone), self.flatness.columns)
        pairs = zip(everyone, rows, strict=True)
        return self._mean(everyone, [self.flatness.score_of_means(one, row).value for one, row in pairs])

    def values_of_means(self, architecture: Architecture, means: Tensor) -> Tensor:
        """The mean flatness of each row."""
        parts = torch.split(means, self.flatness.columns, 1)
        return torch.stack([self.flatness.values_of_means(architecture, part) for part in parts]).mean(0)

    def normalised(self, score: Score) -> float:
        """As flatness."""
        return self.flatness.normalised(score)

    @staticmethod
    def _mean(everyone: list[Architecture], values: list[float]) -> Score:
        others = {one.genotype: value for one, value in zip(everyone[1:], values[1:], strict=True)}
        return Score(math.fsum(values) / len(values), {"own": values[0], "neighbours": others})
