"""How flat the loss is around the weights of a trained network.

*Noise curve.* The loss at ``w + n`` for Gaussian noise n, mean and spread over draws. Absolute: n has standard
deviation sigma in every parameter, as the flatness proxy of the search has it. Relative: n has, in every filter f, the
standard deviation ``sigma * |w_f| / sqrt(size of f)``, so that sigma is the expected ratio of the norms of noise and
filter (in the spirit of the filter normalisation of Li et al., NeurIPS 2018, arXiv:1712.09913); biases and batch norm's
scales and shifts stay as they are, as in their work. Relative noise makes networks comparable whose filters have
different scales, which batch norm allows without changing the function.

*Sharpness.* The increase of the loss after one ascent step of length rho: ``L(w + e) - L(w)``. As in SAM (Foret et al.,
ICLR 2021, arXiv:2010.01412), ``e = rho g / |g|``; in the adaptive form (ASAM, Kwon et al., ICML 2021,
arXiv:2102.11600), ``e = rho T^2 g / |T g|`` with ``T = |w|`` element by element, which a rescaling of weights that
leaves the function unchanged leaves unchanged as well. g is the gradient of the mean loss over all images used, not
of one batch.

Everything is measured in evaluation mode with the stored batch-norm statistics; the network is left bit-identical.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from genas.core.errors import GenasError
from genas.evaluation.settings import FlatnessMeasureSettings
from genas.proxies.curvature import loss_and_gradient
from genas.proxies.flatness import flatness_terms
from genas.proxies.perturbation import ascent, filter_scale, keep_weights, unit_noise

Batches = Callable[[], Iterator[tuple[Tensor, Tensor]]]
Scale = Literal["absolute", "relative"]


def measure_flatness(
    network: nn.Module, batches: Batches, settings: FlatnessMeasureSettings, seed: int
) -> dict[str, Any]:
    """Noise curves and sharpness.

    Args:
        network: on the device; left bit-identical, in its mode.
        batches: gives a fresh walk through normalised images and labels, on the device, at each call.
        settings: see there.
        seed: of the noise.

    Returns:
        ``loss`` (unperturbed); ``noise``: by scale, ``sigmas``, ``losses`` (means), ``spread`` (standard deviations),
        ``flatness`` (F' of the search on this curve with alpha 1, where there are two sigmas); ``sharpness``: rows of
        ``kind``, ``rho``, ``increase``.
    """
    training = network.training
    network.eval()
    try:
        loss = mean_loss(network, batches())
        noise: dict[str, Any] = {}
        scales: tuple[tuple[Scale, tuple[float, ...]], ...] = (
            ("absolute", settings.sigmas),
            ("relative", settings.relative_sigmas),
        )
        for scale, sigmas in scales:
            if not sigmas:
                continue
            rows = torch.tensor(
                [noise_losses(network, batches, sigmas, scale, seed, draw) for draw in range(settings.draws)],
                dtype=torch.float64,
            )
            losses = rows.mean(0).tolist()
            noise[scale] = {
                "sigmas": [0.0, *sigmas],
                "losses": [loss, *losses],
                "spread": [0.0, *rows.std(0).tolist()],
                "draws": settings.draws,
            }
            if len(sigmas) > 1:
                noise[scale]["flatness"] = flatness_terms(sigmas, tuple(losses), 1.0)[0]
        sharpness = [
            {"kind": kind, "rho": rho, "increase": increase}
            for kind, rhos in (("plain", settings.rho), ("adaptive", settings.adaptive_rho))
            for rho, increase in zip(rhos, increases(network, batches, rhos, kind == "adaptive"), strict=True)
        ]
    finally:
        network.train(training)
    return {"loss": loss, "noise": noise, "sharpness": sharpness}


def noise_losses(
    network: nn.Module, batches: Batches, sigmas: tuple[float, ...], scale: Scale, seed: int, draw: int
) -> list[float]:
    """The loss at each sigma with one draw of noise; the same draw at every sigma.

    Args:
        network: in evaluation mode; left bit-identical.
        batches: see `measure_flatness`.
        sigmas: strengths of the noise.
        scale: see the module's text.
        seed: of the noise.
        draw: number of the draw.
    """
    losses = []
    with keep_weights(network) as original:
        steps = noise_direction(original, scale, seed, draw)
        own = dict(network.named_parameters())
        for sigma in sigmas:
            with torch.no_grad():
                for name, step in steps.items():
                    own[name].copy_(original[name] + sigma * step)
            losses.append(mean_loss(network, batches()))
    return losses


def noise_direction(weights: Mapping[str, Tensor], scale: Scale, seed: int, draw: int) -> dict[str, Tensor]:
    """Noise of strength 1 by parameter name; parameters without noise are left out.

    Args:
        weights: the unperturbed parameters by name.
        scale: see the module's text.
        seed: of the noise.
        draw: number of the draw.
    """
    return {
        name: unit_noise(value, seed, "retrain.flatness", draw, name) * factor
        for name, value in weights.items()
        if (factor := _noise_scale(value, scale)) is not None
    }


def increases(network: nn.Module, batches: Batches, rhos: tuple[float, ...], adaptive: bool) -> list[float]:
    """The increase of the mean loss after an ascent step of each length.

    Args:
        network: in evaluation mode; left bit-identical.
        batches: see `measure_flatness`.
        rhos: lengths of the step.
        adaptive: the scale-invariant form.
    """
    if not rhos:
        return []
    loss, gradient = loss_and_gradient(network, batches())
    found = []
    with keep_weights(network) as original:
        own = dict(network.named_parameters())
        for rho in rhos:
            with torch.no_grad():
                for name, step in ascent(original, gradient, rho, adaptive).items():
                    own[name].copy_(original[name] + step)
            found.append(mean_loss(network, batches()) - loss)
    return found


@torch.no_grad()
def mean_loss(network: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]) -> float:
    """Mean cross-entropy over all images, in nats.

    Raises:
        GenasError: it is not finite.
    """
    total, count = 0.0, 0
    for images, labels in batches:
        total += float(functional.cross_entropy(network(images).double(), labels, reduction="sum"))
        count += len(labels)
    if not math.isfinite(total):
        raise GenasError(
            "the loss around the weights is not finite; take smaller flatness.sigmas, relative_sigmas or rho."
        )
    return total / count


def _noise_scale(value: Tensor, scale: Scale) -> Tensor | float | None:
    """What unit noise on a parameter is multiplied by; None for a parameter without noise."""
    return 1.0 if scale == "absolute" else filter_scale(value)
