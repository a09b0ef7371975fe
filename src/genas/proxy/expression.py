"""What `proxy.expression` means: the name of a proxy, or a weighted sum as in ``angle + 16*flatness``.

Some names have a hyphen, which is an operator too. The longest known name wins: ``loss - jacob-cov`` has two parts,
with and without blanks, because no known name joined to another by a hyphen makes a known name (tested).
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field, model_validator

from genas.errors import ConfigError, GenasError
from genas.proxy.accuracy import Accuracy, Loss
from genas.proxy.angle import Angle, AngleSettings
from genas.proxy.base import Proxy, as_score
from genas.proxy.combined import Combined
from genas.proxy.consensus import Consensus, ConsensusSettings
from genas.proxy.curvature import CurvatureSettings, GradientNorm, HessianTrace, NeighbourFlatness, Sharpness
from genas.proxy.flatness import Flatness, FlatnessSettings, RelativeFlatness, RelativeFlatnessSettings
from genas.proxy.named import PROXIES
from genas.proxy.scoring import BatchNormSettings, EvaluationSettings, Score, Scoring
from genas.proxy.zero_cost import (
    BenchmarkMacs,
    BenchmarkParams,
    GradNorm,
    JacobCov,
    Macs,
    Naswot,
    Params,
    Snip,
    SynFlow,
    ZeroCostSettings,
)
from genas.settings import Settings
from genas.space.base import Architecture


class ProxySettings(Settings):
    """Which proxy scores, and how."""

    expression: str = "flatness"
    """A proxy's name, or a weighted sum such as ``angle + 16*flatness``."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of a custom class's constructor, by name; for expressions with one such class."""
    flatness: FlatnessSettings = Field(default_factory=FlatnessSettings)
    """The flatness measure."""
    relative_flatness: RelativeFlatnessSettings = Field(default_factory=RelativeFlatnessSettings)
    """Flatness under noise relative to each filter's size."""
    angle: AngleSettings = Field(default_factory=AngleSettings)
    """The angle."""
    curvature: CurvatureSettings = Field(default_factory=CurvatureSettings)
    """Sharpness, curvature and the like."""
    zero_cost: ZeroCostSettings = Field(default_factory=ZeroCostSettings)
    """The proxies that need no training."""
    consensus: ConsensusSettings = Field(default_factory=ConsensusSettings)
    """The consensus of several proxies."""
    batchnorm: BatchNormSettings = Field(default_factory=BatchNormSettings)
    """Recalibration of batch norm."""
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)
    """Pictures that scores are computed on."""

    @model_validator(mode="after")
    def _known_members(self) -> Self:
        for name in self.consensus.members:
            try:
                PROXIES.check(name)
            except ConfigError as error:
                raise ValueError(f"consensus.members: {error}") from error
        return self


FACTORIES: dict[str, Callable[[Scoring, ProxySettings], Proxy]] = {
    "flatness": lambda scoring, settings: Flatness(scoring, settings.flatness),
    "relative-flatness": lambda scoring, settings: RelativeFlatness(scoring, settings.relative_flatness),
    "angle": lambda scoring, settings: Angle(scoring, settings.angle),
    "accuracy": lambda scoring, settings: Accuracy(scoring),
    "loss": lambda scoring, settings: Loss(scoring),
    "sharpness": lambda scoring, settings: Sharpness(scoring, settings.curvature),
    "hessian-trace": lambda scoring, settings: HessianTrace(scoring, settings.curvature),
    "gradient-norm": lambda scoring, settings: GradientNorm(scoring, settings.curvature),
    "neighbour-flatness": lambda scoring, settings: NeighbourFlatness(scoring, settings.curvature, settings.flatness),
    "params": lambda scoring, settings: Params(scoring),
    "macs": lambda scoring, settings: Macs(scoring),
    "benchmark-params": lambda scoring, settings: BenchmarkParams(scoring),
    "benchmark-macs": lambda scoring, settings: BenchmarkMacs(scoring),
    "synflow": lambda scoring, settings: SynFlow(scoring, settings.zero_cost),
    "naswot": lambda scoring, settings: Naswot(scoring, settings.zero_cost),
    "jacob-cov": lambda scoring, settings: JacobCov(scoring, settings.zero_cost),
    "grad-norm": lambda scoring, settings: GradNorm(scoring, settings.zero_cost),
    "snip": lambda scoring, settings: Snip(scoring, settings.zero_cost),
    "consensus": lambda scoring, settings: Consensus(
        scoring, tuple(_one(name, scoring, settings) for name in settings.consensus.members), settings.consensus
    ),
}
KNOWN = PROXIES.names
_ALWAYS = ("expression", "batchnorm", "evaluation")
_CURVATURE, _ZERO_COST = ("curvature",), ("zero_cost",)
_SECTIONS: dict[str, tuple[str, ...]] = {  # of ProxySettings, that a proxy reads beside _ALWAYS
    "flatness": ("flatness",),
    "relative-flatness": ("relative_flatness",),
    "angle": ("angle",),
    "sharpness": _CURVATURE,
    "hessian-trace": _CURVATURE,
    "gradient-norm": _CURVATURE,
    "neighbour-flatness": ("curvature", "flatness"),
    "synflow": _ZERO_COST,
    "naswot": _ZERO_COST,
    "jacob-cov": _ZERO_COST,
    "grad-norm": _ZERO_COST,
    "snip": _ZERO_COST,
    "consensus": ("consensus",),
}


@dataclass(frozen=True)
class Part:
    """One summand: a weight and a proxy's name."""

    weight: float
    name: str


_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_][\w.:-]*)|(?P<sign>[+*-]))"
)


def parse_expression(text: str) -> tuple[Part, ...]:
    """Reads ``[weight *] name {+|- [weight *] name}``.

    Raises:
        ConfigError: malformed, with the place, or an unknown proxy.
    """
    tokens: list[tuple[str, str, int]] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _wrong(text, at, "a weight, a proxy's name, '+', '-' or '*'")
        kind = match.lastgroup or ""
        value = match.group(kind)
        if kind == "name":
            value = _name(value)
        tokens.append((kind, value, match.start(kind)))
        at = match.start(kind) + len(value)
    parts: list[Part] = []
    position = 0

    def take(kind: str, value: str | None = None) -> str | None:
        nonlocal position
        if position < len(tokens) and tokens[position][0] == kind and value in (None, tokens[position][1]):
            position += 1
            return tokens[position - 1][1]
        return None

    def place() -> int:
        return tokens[position][2] if position < len(tokens) else len(text)

    while position < len(tokens) or not parts:
        sign = 1.0
        if take("sign", "-"):
            sign = -1.0
        elif parts and not take("sign", "+"):
            raise _wrong(text, place(), "'+' or '-'")
        number = take("number")
        if number is not None and not take("sign", "*"):
            raise _wrong(text, place(), "'*' after the weight")
        name = take("name")
        if name is None:
            raise _wrong(text, place(), "the name of a proxy")
        weight = sign * float(number if number is not None else 1)
        if not math.isfinite(weight):
            raise ConfigError(f"proxy expression {text!r}: the weight {number} of {name!r} is too large.")
        if weight == 0:
            raise ConfigError(f"proxy expression {text!r}: the weight of {name!r} is 0; leave it out.")
        if name == "w" and take("sign", "*"):
            raise ConfigError(
                f"proxy expression {text!r}: w has no value here; write a number in its place, or compare several "
                f"with: genas sweep RUN --proxy {text!r} --weights 0,1,4,16"
            )
        PROXIES.check(name)
        parts.append(Part(weight, name))
    names = [part.name for part in parts]
    if len(set(names)) < len(names):
        raise ConfigError(f"proxy expression {text!r} names a proxy twice; write one term with the summed weight.")
    return tuple(parts)


def _name(run: str) -> str:
    """The proxy's name that `run`, letters and hyphens without blanks, begins with."""
    hyphens = [place for place, letter in enumerate(run) if letter == "-"]
    for end in (len(run), *reversed(hyphens)):
        if run[:end] in FACTORIES:
            return run[:end]
    # no identifier has a hyphen; a module may, as the name of its file
    after = [place for place in hyphens if ":" in run[:place]]
    return run[: after[0]] if after else run


def _wrong(text: str, at: int, wanted: str) -> ConfigError:
    came = repr(text[at:]) if at < len(text) else "the end"
    return ConfigError(f"proxy expression {text!r}, character {at + 1}: expected {wanted}, got {came}.")


def sections_read(settings: ProxySettings) -> set[str]:
    """The fields of the settings that have a say in the score of their expression; all for proxies of one's own."""
    names = set(single_names(settings))
    if not names <= set(KNOWN):
        return set(ProxySettings.model_fields)
    return {*_ALWAYS, *(section for name in names for section in _SECTIONS.get(name, ()))}


def single_names(settings: ProxySettings) -> tuple[str, ...]:
    """The names of the proxies that the settings' expression consists of, members of a consensus included."""
    names = [part.name for part in parse_expression(settings.expression)]
    if "consensus" in names:
        names += settings.consensus.members
    return tuple(dict.fromkeys(names))


def kept_options(settings: ProxySettings, expression: str) -> dict[str, Any]:
    """The options that stay when the expression changes: those of a custom class that both expressions name.

    Raises:
        ConfigError: a malformed expression.
    """
    changed = settings.model_copy(update={"expression": expression})
    before, now = ({name for name in single_names(one) if ":" in name} for one in (settings, changed))
    return settings.options if before == now else {}


def custom_classes(settings: ProxySettings) -> dict[str, type[Proxy]]:
    """The custom classes among them, by name."""
    return {name: PROXIES.find(name) for name in single_names(settings) if PROXIES.is_custom(name)}


def needs_training(settings: ProxySettings) -> bool:
    """Whether the score depends on the weights of a trained supernet.

    Raises:
        ConfigError: a malformed expression, or a class that cannot be imported.
    """
    return any(PROXIES.find(name).needs_training for name in single_names(settings) if name != "consensus")


def open_proxy(scoring: Scoring, settings: ProxySettings) -> Proxy:
    """The proxy that `settings` describe. A single name with weight 1 gives that proxy itself, not normalised.

    Raises:
        ConfigError: a malformed expression or an unknown name.
    """
    parts = parse_expression(settings.expression)
    custom = [name for name in single_names(settings) if ":" in name]
    if settings.options and len(custom) > 1:
        raise ConfigError(
            f"proxy.options are for one custom class; {settings.expression!r} names {len(custom)} of them, so leave "
            f"{', '.join(settings.options)} out."
        )
    if len(parts) == 1 and parts[0].weight == 1:
        return _one(parts[0].name, scoring, settings)
    return Combined(scoring, tuple((part.weight, _one(part.name, scoring, settings)) for part in parts))


def _one(name: str, scoring: Scoring, settings: ProxySettings) -> Proxy:
    if name in FACTORIES:
        return FACTORIES[name](scoring, settings)
    proxy = PROXIES.make(name, scoring, options=settings.options)
    if proxy.name == Proxy.name:
        proxy.name = name
    return proxy


def checked_score(proxy: Proxy, architecture: Architecture) -> Score:
    """The score of `architecture`, refused unless finite.

    Raises:
        GenasError: the score is not a finite number.
    """
    return finite(as_score(proxy.score(architecture)))


def finite(score: Score) -> Score:
    """The score itself.

    Raises:
        GenasError: it, or one of its objectives, is not a finite number.
    """
    if not math.isfinite(score.value):
        raise GenasError(f"the score is {score.value}")
    for name, value in score.objectives.items():
        if not math.isfinite(value):
            raise GenasError(f"the objective {name} is {value}")
    return score
