"""The swept expression, and the weight that gives a part a wanted share.

In ``angle + w*flatness`` the letter w stands for a list of weights. The share of the swept part in an architecture's
score is its absolute contribution over the sum of all absolute contributions (`genas.proxies.combined`),

    share(a, w) = w s(a) / (w s(a) + o(a)),

s and o being the absolute normalised value of the swept part and the summed absolute contributions of the others.
Its mean over architectures grows with w, so that the weight of a wanted mean share is found by bisection. The poster
gives five shares and no definition; this one is ours.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from genas.core.errors import ConfigError
from genas.proxies.expression import Part, parse_expression

DIGITS = 4  # significant digits of a weight that was found: it names a folder, and is used as it is written


@dataclass(frozen=True)
class Template:
    """An expression with one weight left open.

    Args:
        text: as it was written.
        fixed: the parts with weights of their own.
        swept: the part with the open weight; its own weight is the sign, 1 or -1.
    """

    text: str
    fixed: tuple[Part, ...]
    swept: Part

    def parts(self, weight: float) -> tuple[Part, ...]:
        """The summands at a weight; the swept one is left out at 0."""
        if weight == 0:
            return self.fixed
        return (*self.fixed, Part(self.swept.weight * weight, self.swept.name))


def parse_template(text: str) -> Template:
    """Reads ``angle + w*flatness``.

    Raises:
        ConfigError: not exactly one ``w*``, nothing beside it, or a malformed sum.
    """
    places = list(re.finditer(r"(?<![\w.:-])w\s*\*\s*([A-Za-z_][\w.:-]*)", text))
    if len(places) != 1:
        raise ConfigError(
            f"proxy expression {text!r}: one part has to have the weight w, as in 'angle + w*flatness'; "
            f"{len(places)} have it."
        )
    match = places[0]
    parts = parse_expression(f"{text[: match.start()]}1*{match.group(1)}{text[match.end() :]}")
    swept = next(part for part in parts if part.name == match.group(1))
    fixed = tuple(part for part in parts if part is not swept)
    if not fixed:
        raise ConfigError(
            f"proxy expression {text!r}: expected another part beside the swept one, as in 'angle + w*flatness'; "
            "alone, its weight changes no ranking."
        )
    return Template(text, fixed, swept)


def check_weights(weights: Sequence[float]) -> tuple[float, ...]:
    """The weights, if they can be swept.

    Raises:
        ConfigError: one is negative, infinite or there twice.
    """
    for weight in weights:
        if not weight >= 0 or math.isinf(weight):
            raise ConfigError(f"Invalid weight {weight:g}: expected 0 or more.")
    if len(set(weights)) < len(weights):
        raise ConfigError(f"the weights {', '.join(f'{weight:g}' for weight in weights)} name one of them twice.")
    return tuple(weights)


def check_shares(percents: Sequence[float]) -> tuple[float, ...]:
    """The shares as fractions.

    Raises:
        ConfigError: one is not from 0 to below 100, or there twice.
    """
    for percent in percents:
        if not 0 <= percent < 100:
            raise ConfigError(
                f"Invalid share {percent:g}: expected a percentage from 0 to below 100 (100 is the swept part "
                "alone: genas search)."
            )
    if len(set(percents)) < len(percents):
        raise ConfigError(f"the shares {', '.join(f'{percent:g}' for percent in percents)} name one of them twice.")
    return tuple(percent / 100 for percent in percents)


def mean_share(weight: float, swept: Sequence[float], others: Sequence[float]) -> float:
    """The mean share of the swept part over architectures.

    Args:
        weight: 0 or above.
        swept: absolute normalised values of the swept part.
        others: summed absolute contributions of the other parts, one for each.
    """
    shares = []
    for own, rest in zip(swept, others, strict=True):
        whole = weight * own + rest
        shares.append(weight * own / whole if whole > 0 else 0.0)
    return math.fsum(shares) / len(shares)


def weight_for(share: float, swept: Sequence[float], others: Sequence[float]) -> float:
    """The weight with which the mean share is `share`, to four significant digits.

    Args:
        share: wanted, from 0 to below 1.
        swept: see `mean_share`.
        others: see `mean_share`.

    Raises:
        ConfigError: no weight gives it.
    """
    if share == 0:
        return 0.0
    balance = [rest / own for own, rest in zip(swept, others, strict=True) if own > 0 and rest > 0]
    if balance:
        # at these ends every share is within 1e-9 of its limit
        low, high = math.log(min(balance)) - 21, math.log(max(balance)) + 21
        if mean_share(math.exp(low), swept, others) <= share <= mean_share(math.exp(high), swept, others):
            for _ in range(200):
                middle = (low + high) / 2
                low, high = (middle, high) if mean_share(math.exp(middle), swept, others) < share else (low, middle)
            return float(f"{math.exp(high):.{DIGITS}g}")
    raise ConfigError(
        f"no weight gives the swept part a share of {100 * share:g} %: in {len(swept) - len(balance)} of {len(swept)} "
        "random architectures it, or all the other parts, are 0."
    )
