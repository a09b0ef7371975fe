"""Proxies that need no training: they look at the stand-alone network with the run's initial weights.

    params      parameters of the stand-alone network
    macs        its multiply-accumulates for one image
    benchmark-params, benchmark-macs
                the same counted as the space's benchmark does: in NAS-Bench-201 with the convolutions that no signal
                reaches, which our networks do without
    synflow     sum_w |w dR/dw| with R = sum of the logits of |w| on an image of ones
                (Tanaka et al., NeurIPS 2020, arXiv:2006.05467)
    naswot      log det K_H, K_H[i, j] = number of ReLU units that are in the same state for the images i and j
                (Mellor et al., ICML 2021, arXiv:2006.04647)
    jacob-cov   - sum_i [ log(v_i + k) + 1 / (v_i + k) ], v the eigenvalues of the correlation between the gradients of
                the summed logits with respect to each image, k = 1e-5 (Mellor et al., arXiv:2006.04647v1)
    grad-norm   sum over layers of |dL/dw|, L the cross-entropy of one mini-batch
    snip        sum_w |w dL/dw| (Lee et al., ICLR 2019, arXiv:1810.02340)

The sums are over the weights of all convolutions and linear layers, as Abdelfattah et al. have them for architecture
search (ICLR 2021, arXiv:2101.08134). Batch norm is in training mode (statistics of the mini-batch); in `synflow`, again
as they have it, it is left out (identity), since its normalisation would cancel what the measure adds up. `synflow` is
computed in float64, with absolute biases too.

All are functions of (initial weights, architecture, training data, seed) alone; `cells` and `channels` measure a
network of another size, whose initial weights are a function of the seed. Differences from the published code: the
weights are those of the run, PyTorch's default initialisation; the mini-batch is not augmented and the same for all
architectures (Mellor et al. do not augment either, Abdelfattah et al. do); a state that several operations read is
rectified once in the DARTS space, so its units count once in `naswot`. As published, ReLUs without influence on
the logits are left out there.

Architectures without any way for the signal have the lowest score that the measure can give: 0 in `synflow`,
`grad-norm` and `snip`; 0 in `naswot` wherever K_H is singular, because the determinant of a regular matrix of integers
is at least 1; in `jacob-cov` that of images which are all perfectly correlated.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from genas.core.errors import GenasError
from genas.core.seeding import derive
from genas.core.settings import Settings
from genas.proxies.base import WithoutImages
from genas.proxies.scoring import Score, Scoring
from genas.spaces.base import Architecture, Network, Space
from genas.spaces.cost import Cost, architecture_cost

K = 1e-5  # keeps the logarithm of jacob-cov finite, as published
RELUS = (torch.relu, torch.relu_, functional.relu, functional.relu_, torch.Tensor.relu, torch.Tensor.relu_)


class ZeroCostSettings(Settings):
    """The proxies that need no training."""

    former_names: ClassVar[Mapping[str, str]] = {"pictures": "images", "naswot_pictures": "naswot_images"}

    images: int = Field(64, ge=2)
    """Training images in the mini-batch of ``jacob-cov``, ``grad-norm`` and ``snip`` (Abdelfattah et al.: 64)."""
    naswot_images: int = Field(128, ge=2)
    """Training images in the mini-batch of ``naswot`` (Mellor et al.: 128)."""
    cells: int | None = Field(None, ge=1)
    """Cells of the network that is measured, as `retrain.cells` counts them (NAS-Bench-201: of one stage; its own
    networks have 5); None for as many as the supernet has. ``params`` and ``macs`` count at the supernet's size."""
    channels: int | None = Field(None, ge=1)
    """Its first width; None for the supernet's."""
    subset: int = Field(0, ge=0)
    """Which random mini-batch: each number is a drawing of its own, to measure repeatedly."""


class _ByLogarithm(WithoutImages):
    """Enters sums as the natural logarithm of 1 + its value."""

    def normalised(self, score: Score) -> float:
        """log(1 + value)."""
        return math.log1p(score.value)


class _Counted(_ByLogarithm):
    """A count of the stand-alone network, from shapes alone; enters sums as its natural logarithm."""

    counts_size = True
    needs_training = False
    citation = "-"
    passes = "none"
    figure: ClassVar["attrgetter[int]"]
    """What is counted."""

    @property
    def space(self) -> Space:
        """The space that says what is counted."""
        return self.scoring.space

    def cost(self, architecture: Architecture) -> Cost:
        """As `genas score` and the history show it."""
        splits = self.scoring.splits
        return architecture_cost(self.space, architecture, splits.num_classes, splits.image_shape)

    def score(self, architecture: Architecture) -> Score:
        """The number itself."""
        return Score(float(self.figure(self.cost(architecture))))


class Params(_Counted):
    """Number of parameters."""

    name = "params"
    explanation = "Number of parameters: size alone."
    formula = "parameters"
    figure = attrgetter("params")


class Macs(_Counted):
    """Number of multiply-accumulates."""

    name = "macs"
    explanation = "Multiply-accumulates for one image: work alone."
    formula = "multiply-accumulates"
    figure = attrgetter("macs")


class _AsBenchmark(_Counted):
    @property
    def space(self) -> Space:
        """See `Space.benchmark`."""
        return self.scoring.space.benchmark()


class BenchmarkParams(_AsBenchmark, Params):
    """Number of parameters, counted as the space's benchmark counts them."""

    name = "benchmark-params"
    explanation = "Number of parameters as the space's benchmark counts them."


class BenchmarkMacs(_AsBenchmark, Macs):
    """Number of multiply-accumulates, counted as the space's benchmark counts them."""

    name = "benchmark-macs"
    explanation = "Multiply-accumulates as the space's benchmark counts them."


class _Untrained(WithoutImages):
    """A measure on the untrained network."""

    Settings = ZeroCostSettings
    section = "zero_cost"
    by_function = True
    needs_training = False
    needs_gradients = True
    citation = "Abdelfattah et al. (ICLR 2021)"
    passes = "64 x 3"
    settings: ZeroCostSettings

    def __init__(self, scoring: Scoring, settings: ZeroCostSettings | None = None) -> None:
        super().__init__(scoring, settings)
        scoring.space.final(self.settings.cells, self.settings.channels)  # a size that cannot be shows at once
        self._batches: dict[int, tuple[Tensor, Tensor]] = {}

    def network(self, architecture: Architecture) -> Network:
        """The untrained network, of the size that the settings want."""
        return self.scoring.untrained(architecture, (self.settings.cells, self.settings.channels))

    def batch(self, count: int) -> tuple[Tensor, Tensor]:
        """At most `count` training images, normalised and not augmented, and their labels; always the same."""
        if count not in self._batches:
            seed = derive(self.scoring.seed, "proxy.zero_cost", self.settings.subset)
            weights = self.scoring.splits.weights
            walk = weights.batches(count, self.scoring.fabric.device, seed=seed, shuffle=True, limit=count)
            self._batches[count] = next(iter(walk))
        return self._batches[count]

    def gradients(self, network: Network) -> list[tuple[Tensor, Tensor]]:
        """Each layer's weight and its gradient of the mini-batch's cross-entropy."""
        images, labels = self.batch(self.settings.images)
        return weight_gradients(network, functional.cross_entropy(network(images), labels))


class SynFlow(_Untrained, _ByLogarithm):
    """Synaptic flow; enters sums as log(1 + value), for it grows with the depth exponentially."""

    name = "synflow"
    explanation = "Flow of an image of ones through the absolute weights, before any training."
    formula = "sum_w |w dR/dw|, R = sum of the logits of |w|"
    terms: ClassVar = {"log": "natural logarithm of 1 + the value, as it enters sums"}
    citation = "Tanaka et al. (NeurIPS 2020)"
    passes = "3"

    def score(self, architecture: Architecture) -> Score:
        """Terms: log (natural, of 1 + value)."""
        network = without_batch_norm(self.network(architecture)).double()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.abs_()
        ones = torch.ones((1, *self.scoring.splits.image_shape), dtype=torch.float64, device=self.scoring.fabric.device)
        pairs = weight_gradients(network, network(ones).sum())
        value = _total((weight * gradient).abs().sum() for weight, gradient in pairs)
        return Score(value, {"log": math.log1p(value)})


class GradNorm(_Untrained):
    """Sum of the norms of the layers' gradients."""

    name = "grad-norm"
    explanation = "Sum over the layers of the gradient's norm, before any training."
    formula = "sum over layers of |dL/dw|"

    def score(self, architecture: Architecture) -> Score:
        """The sum."""
        pairs = self.gradients(self.network(architecture))
        return Score(_total(torch.linalg.vector_norm(gradient.double()) for _, gradient in pairs))


class Snip(_Untrained):
    """Sensitivity of the loss to each connection."""

    name = "snip"
    explanation = "Sum of the sensitivities of the loss to each connection, before any training."
    formula = "sum_w |w dL/dw|"
    citation = "SNIP (ICLR 2019)"

    def score(self, architecture: Architecture) -> Score:
        """The sum."""
        pairs = self.gradients(self.network(architecture))
        return Score(_total((weight * gradient).double().abs().sum() for weight, gradient in pairs))


class Naswot(_Untrained):
    """How differently the untrained network's ReLUs code different images."""

    name = "naswot"
    explanation = "How differently the ReLUs code different images, before any training."
    formula = "log det K_H"
    citation = "Mellor et al. (ICML 2021)"
    passes = "128"
    terms: ClassVar = {
        "units": "ReLU units that were counted",
        "singular": "whether the codes of some images are the same",
    }

    def score(self, architecture: Architecture) -> Score:
        """Terms: units (ReLU units of an image that were counted), singular."""
        images, _ = self.batch(self.settings.naswot_images)
        kernel, units = code_kernel(self.network(architecture), images)
        eigenvalues = torch.linalg.eigvalsh(kernel)
        # equal codes of two images, or no unit at all; rounding would make any number of it
        singular = units == 0 or float(eigenvalues[0]) < len(kernel) * 1e-14 * float(eigenvalues[-1])
        value = 0.0 if singular else float(eigenvalues.log().sum())
        return Score(max(value, 0.0), {"units": units, "singular": singular})


class JacobCov(_Untrained):
    """How differently the untrained network's output changes with different images; enters sums as -log(-value)."""

    name = "jacob-cov"
    explanation = "How differently the output changes with different images, before any training."
    formula = "- sum_i (log(v_i + k) + 1 / (v_i + k))"
    terms: ClassVar = {"degenerate": "whether the output is the same for all images"}
    citation = "Mellor et al. (first version)"

    def score(self, architecture: Architecture) -> Score:
        """Terms: degenerate (an image without any influence on the logits)."""
        images = self.batch(self.settings.images)[0].clone().requires_grad_()
        logits = self.network(architecture)(images)
        (jacobian,) = torch.autograd.grad(logits.sum(), images, allow_unused=True)
        rows = torch.zeros(len(images), 1) if jacobian is None else jacobian.flatten(1).cpu()
        value, degenerate = correlation_score(rows.double())
        return Score(value, {"degenerate": degenerate})

    def normalised(self, score: Score) -> float:
        """-log(-value): networks differ by factors, and no value is above minus the number of images."""
        return -math.log(-score.value)


def correlation_score(rows: Tensor) -> tuple[float, bool]:
    """The measure of `jacob-cov` from the Jacobian's rows, and whether they were degenerate.

    Args:
        rows: [N, D] float64, the gradient for each image; one that is constant has no correlation with others and
            makes all count as perfectly correlated.

    Raises:
        GenasError: a row is not finite.
    """
    if not bool(rows.isfinite().all()):
        raise GenasError("the untrained network's gradient is not finite")
    rows = rows - rows.mean(1, keepdim=True)
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    degenerate = bool((norms <= 1e-300).any())
    rows = torch.ones(len(rows), 1, dtype=torch.float64) if degenerate else rows / norms
    eigenvalues = torch.linalg.eigvalsh(rows @ rows.t()).clamp_min(0) + K
    return -float((eigenvalues.log() + 1 / eigenvalues).sum()), degenerate


def code_kernel(network: nn.Module, images: Tensor) -> tuple[Tensor, int]:
    """For each pair of images, in how many ReLU units they are both above zero or both not.

    Args:
        network: its ReLUs that do not influence the logits are left out.
        images: [N, C, H, W].

    Returns:
        [N, N] float64 on the CPU, and the number of units of an image.
    """
    with _Rectified() as probe:  # two images show which ReLUs have a say: that is a matter of structure
        logits = network(images[:2])
    # what a dead cell gives is a constant; what comes after it codes nothing
    living = [place for place, out in enumerate(probe.outputs) if out.requires_grad]
    outputs = [probe.outputs[place] for place in living]
    reached = torch.autograd.grad(logits.sum(), outputs, allow_unused=True) if outputs else ()
    counted = {place for place, gradient in zip(living, reached, strict=True) if gradient is not None}
    with torch.no_grad(), _Rectified() as seen:
        network(images)
    kernel, units = torch.zeros(len(images), len(images), dtype=torch.float64), 0
    for place, codes in enumerate(seen.codes):
        if place not in counted:
            continue
        above = codes.flatten(1).float()
        active = above.sum(1).double()
        both = (above @ above.t()).double()  # exact: counts below 2^24
        kernel += (above.shape[1] - active[:, None] - active[None] + 2 * both).cpu()
        units += above.shape[1]
    return kernel, units


class _Rectified(TorchFunctionMode):
    """Remembers what leaves every ReLU, called as a function or as a module."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: list[Tensor] = []
        self.codes: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in RELUS:
            self.outputs.append(out)
            self.codes.append(out.detach() > 0)  # now: a later operation may work in place
        return out


def weight_gradients(network: nn.Module, value: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(weight, gradient of `value`) of each convolution and linear layer that `value` depends on."""
    weights = [module.weight for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    if not value.requires_grad:
        return []
    gradients = torch.autograd.grad(value, weights, allow_unused=True)
    return [
        (weight.detach(), gradient) for weight, gradient in zip(weights, gradients, strict=True) if gradient is not None
    ]


def without_batch_norm(network: Network) -> Network:
    """`network` itself, its batch norms replaced by the identity."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    return network


def _total(values: Iterable[Tensor]) -> float:
    return math.fsum(float(value) for value in values)
