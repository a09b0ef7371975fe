"""What the scores and their terms mean, in a sentence each: the one place that pages take explanations from."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

PROXIES: dict[str, str] = {
    "flatness": "1 / (depth term + sum of the slopes): how slowly the validation loss grows under Gaussian noise on "
    "the weights. Higher is flatter.",
    "relative-flatness": "As flatness, under noise in proportion to the size of each filter.",
    "neighbour-flatness": "Mean flatness of the architecture and of some mutated children.",
    "sharpness": "Minus the rise of the loss after one ascent step. Closer to 0 is flatter.",
    "hessian-trace": "Minus the trace of the Hessian, estimated. Closer to 0 is flatter.",
    "gradient-norm": "Minus the norm of the gradient that is left at the supernet's weights.",
    "angle": "Angle in radians between the path's weights before and after training: how much was learnt.",
    "accuracy": "Accuracy on the validation images with the supernet's weights.",
    "loss": "Minus the loss on the validation images with the supernet's weights.",
    "params": "Number of parameters: size alone.",
    "macs": "Multiply-accumulates for one image: work alone.",
    "benchmark-params": "Number of parameters as the space's benchmark counts them.",
    "benchmark-macs": "Multiply-accumulates as the space's benchmark counts them.",
    "synflow": "Flow of an image of ones through the absolute weights, before any training.",
    "naswot": "How differently the ReLUs code different images, before any training.",
    "jacob-cov": "How differently the output changes with different images, before any training.",
    "grad-norm": "Sum over the layers of the gradient's norm, before any training.",
    "snip": "Sum of the sensitivities of the loss to each connection, before any training.",
    "consensus": "Sum of several proxies, each in units of its own spread over random architectures.",
}
"""By the name that expressions use."""

TERMS: dict[str, str] = {
    "sigmas": "strengths of the weight noise",
    "losses": "validation loss at each of the sigmas, mean over the noise draws",
    "losses_by_draw": "the same for each noise draw",
    "slopes": "absolute change of the loss from one sigma to the next, divided by the step",
    "depth_term": "alpha times the loss at the smallest sigma divided by it: low where the loss itself is low",
    "cosine": "cosine of the angle",
    "length": "entries of the weight vectors that are compared",
    "loss": "cross-entropy in nats; chance is ln K for K classes",
    "accuracy": "share of the validation images that are classified rightly",
    "rise": "increase of the loss after the ascent step",
    "error": "standard error of the estimate over its random probes",
    "own": "flatness of the architecture itself",
    "neighbours": "flatness of each of the children, by genotype",
    "log": "natural logarithm of 1 + the value, as it enters sums",
    "units": "ReLU units that were counted",
    "singular": "whether the codes of some images are the same",
    "degenerate": "whether the output is the same for all images",
    "shared_with": "architecture of the same function whose score this is",
    "value": "score of the part alone",
    "normalised": "the same in the unit in which it enters the sum",
    "weight": "factor of the part",
    "contribution": "weight times normalised value: what the part adds to the score",
    "share": "size of the contribution relative to those of all parts",
}
"""By the name in a score's terms."""


_WHOLE = r"(?<![\w:.])(?<![A-Za-z]-){}(?![\w:.]|-[A-Za-z])"  # the name itself, not a part of another one


def explain(parts: Mapping[str, Any], expression: str) -> list[tuple[str, str]]:
    """The proxies of an expression and the terms of a score, explained; what is not known here is left out.

    Args:
        parts: terms of the score; of a sum, by part.
        expression: of the proxy.
    """
    summands = {name for name, value in parts.items() if isinstance(value, Mapping) and "contribution" in value}
    names = [name for name in PROXIES if name in summands or re.search(_WHOLE.format(re.escape(name)), expression)]
    found = [(name, PROXIES[name]) for name in names]
    told = dict.fromkeys(_terms(parts))
    return found + [(name.replace("_", " "), TERMS[name]) for name in TERMS if name in told]


def _terms(parts: Mapping[str, Any]) -> Iterable[str]:
    for name, value in parts.items():
        if isinstance(value, Mapping) and "contribution" in value:
            yield from ("value", "weight", "contribution", "share")
            yield from (key for key in value if key != "normalised")
        else:
            yield name
