"""What `proxy.expression` means: the name of a proxy, or a weighted sum as in ``angle + 16*flatness``.

Some names have a hyphen, which is an operator too. The longest known name wins: ``loss - jacob-cov`` has two parts,
with and without blanks, because no known name joined to another by a hyphen makes a known name (tested).

The section ``proxy`` of a configuration is made of those of the registered classes (`Proxy.Settings`,
`Proxy.section`). A custom class has a section of its own too, called as it calls itself; it is checked and completed
where the class is at hand (`complete`), because a run can be read without the modules of its proxies.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pydantic import ConfigDict, Field, create_model, model_validator

from genas.core.errors import ConfigError, GenasError, suggest
from genas.core.fingerprint import fingerprint
from genas.core.registry import parameters_of
from genas.core.settings import refuse_unknown, validate
from genas.proxies.base import Proxy, as_score, called
from genas.proxies.combined import Combined
from genas.proxies.flatness import Flatness
from genas.proxies.named import PROXIES
from genas.proxies.scoring import BatchNormSettings, EvaluationSettings, Score, Scoring
from genas.proxies.settings import ExpressionSettings
from genas.spaces.base import Architecture

KNOWN = PROXIES.names


class _Settings(ExpressionSettings):
    """Which proxy scores, and how; one section for each class, or family of classes, that has settings."""

    model_config = ConfigDict(extra="allow")

    options: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of a custom class's constructor, by name; for expressions with one such class."""
    batchnorm: BatchNormSettings = Field(default_factory=BatchNormSettings)
    """Recalibration of batch norm."""
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)
    """Images that scores are computed on."""

    @model_validator(mode="after")
    def _known_sections(self) -> Self:
        if self.model_extra and not any(map(PROXIES.is_custom, _names_in(self))):
            refuse_unknown(self, _sections())
        return self

    @model_validator(mode="after")
    def _known_members(self) -> Self:
        for kind in map(PROXIES.find, PROXIES.names):
            for name in kind.members(self.of(kind)):
                try:
                    PROXIES.check(name)
                except ConfigError as error:
                    raise ValueError(f"{kind.section_name()}.members: {error}") from error
        return self

    def of(self, kind: type[Proxy]) -> Any:
        """The settings of a class of proxies.

        Raises:
            ConfigError: those of a custom class are wrong.
        """
        if not kind.Settings.model_fields:
            return kind.Settings()
        section = kind.section_name()
        if section in type(self).model_fields:
            return getattr(self, section)
        return validate(kind.Settings, (self.model_extra or {}).get(section, {}), f"proxy.{section} is wrong")

    def open(self, name: str, scoring: Scoring) -> Proxy:
        """One proxy by its name, whatever the expression is.

        Raises:
            ConfigError: an unknown name, or a custom class that cannot be made.
        """
        kind = PROXIES.find(name)
        if not PROXIES.is_custom(name):
            return kind.open(scoring, self)
        own = {} if own_section(name, kind) is None else {"settings": self.of(kind)}
        return PROXIES.make(name, scoring, options={**own, **self.options})


def settings_model(names: tuple[str, ...]) -> type[_Settings]:
    """The model of the section ``proxy``, with the sections of the classes that have these names."""
    kinds = {kind.section_name(): kind for kind in map(PROXIES.find, names) if kind.Settings.model_fields}
    sections: dict[str, Any] = {
        section: (kind.Settings, Field(default_factory=kind.Settings, description=kind.Settings.__doc__))
        for section, kind in kinds.items()
    }
    return create_model("ProxySettings", __base__=_Settings, __module__=__name__, __doc__=_Settings.__doc__, **sections)


if TYPE_CHECKING:
    ProxySettings = _Settings
else:
    ProxySettings = settings_model(PROXIES.names)
_ALWAYS = ("expression", "batchnorm", "evaluation")


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
        if run[:end] in PROXIES.table:
            return run[:end]
    # no identifier has a hyphen; a module may, as the name of its file
    after = [place for place in hyphens if ":" in run[:place]]
    return run[: after[0]] if after else run


def _wrong(text: str, at: int, wanted: str) -> ConfigError:
    came = repr(text[at:]) if at < len(text) else "the end"
    return ConfigError(f"proxy expression {text!r}, character {at + 1}: expected {wanted}, got {came}.")


def names_of(expression: str) -> tuple[str, ...]:
    """The names in an expression; none where it is malformed, which is told where it is opened."""
    try:
        return tuple(part.name for part in parse_expression(expression))
    except ConfigError:
        return ()


def flatness_of(expression: str) -> type[Flatness]:
    """The kind of flatness that an expression names, the relative one where it names both; else the published one."""
    named = names_of(expression)
    kinds: list[type[Flatness]] = [Flatness]
    for kind in (PROXIES.find(name) for name in PROXIES.names if name in named):
        if issubclass(kind, Flatness):
            kinds.append(kind)
    return kinds[-1]


def _names_in(settings: _Settings) -> tuple[str, ...]:
    """As `single_names`; none where the expression is malformed, which is told where it is read."""
    try:
        return single_names(settings)
    except ConfigError:
        return ()


def sections_read(settings: ProxySettings) -> set[str]:
    """The fields of the settings that have a say in the score of their expression; all for custom proxies."""
    names = single_names(settings)
    if any(map(PROXIES.is_custom, names)):
        return {*type(settings).model_fields, *(settings.model_extra or {})}
    kinds = [kind for name in names for kind in (PROXIES.find(name), *PROXIES.find(name).reads)]
    return {*_ALWAYS, *(kind.section_name() for kind in kinds if kind.Settings.model_fields)}


def single_names(settings: ProxySettings) -> tuple[str, ...]:
    """The names of the proxies that the settings' expression consists of, members of a consensus included."""
    names = [part.name for part in parse_expression(settings.expression)]
    for name in tuple(names):
        names += _members(name, settings)
    return tuple(dict.fromkeys(names))


def leaf_names(settings: ProxySettings) -> tuple[str, ...]:
    """Those of `single_names` that are not made of others."""
    return tuple(name for name in single_names(settings) if not _members(name, settings))


def _members(name: str, settings: ProxySettings) -> tuple[str, ...]:
    if PROXIES.is_custom(name):
        return ()
    kind = PROXIES.find(name)
    return kind.members(settings.of(kind))


def custom_classes(settings: ProxySettings) -> dict[str, type[Proxy]]:
    """The custom classes among them, by name."""
    return {name: PROXIES.find(name) for name in single_names(settings) if PROXIES.is_custom(name)}


def code_of_proxies(settings: ProxySettings) -> dict[str, str]:
    """Fingerprints of the custom proxies, which scores depend on."""
    return {f"proxy {name}": fingerprint(kind) for name, kind in custom_classes(settings).items()}


def own_section(name: str, kind: type[Proxy]) -> str | None:
    """Where the settings of a custom class lie under ``proxy.``; None where it has none.

    One that inherits from a proxy of genas and does not say what it is called has that one's defaults.

    Raises:
        ConfigError: it does not call itself anything, or as one of genas is called.
    """
    if not kind.Settings.model_fields or "settings" not in parameters_of(kind):
        return None
    section = kind.section_name()
    field = ProxySettings.model_fields.get(section)
    if field is not None and field.annotation is kind.Settings:
        return None
    if field is not None or not section.isidentifier():
        raise ConfigError(
            f"{name!r} has settings and calls itself {kind.name!r}; expected an attribute `name` of its own, such as "
            'name = "my_name", under which they are set: --set proxy.my_name.key=...'
        )
    return section


def _sections_outside(settings: ProxySettings) -> dict[str, type[Proxy]]:
    """The classes of the expression whose settings are no field of the model, by section: custom ones, mostly."""
    found: dict[str, type[Proxy]] = {}
    for name in single_names(settings):
        kind = PROXIES.find(name)
        section = own_section(name, kind) if PROXIES.is_custom(name) else kind.section_name()
        if section is None or section in ProxySettings.model_fields or not kind.Settings.model_fields:
            continue
        if found.setdefault(section, kind) is not kind:
            raise ConfigError(f"two proxies of {settings.expression!r} call themselves {kind.name!r}; rename one.")
    return found


def complete(settings: ProxySettings) -> ProxySettings:
    """The settings with all of those of custom classes written out, so that a run records them in full.

    Raises:
        ConfigError: a class that cannot be imported, an unknown section, or a setting that is wrong.
    """
    if not settings.model_extra and not any(map(PROXIES.is_custom, single_names(settings))):
        return settings
    kinds = _sections_outside(settings)
    for key in (settings.model_extra or {}).keys() - kinds.keys() - _sections():
        known = [*type(settings).model_fields, *kinds]
        raise ConfigError(f"unknown key 'proxy.{key}'; known here are {', '.join(known)}.{suggest(key, known)}")
    return settings.model_copy(
        update={section: settings.of(kind).model_dump(mode="json") for section, kind in kinds.items()}
    )


def place_settings(described: Mapping[str, Any]) -> dict[str, Any]:
    """The section ``proxy`` for an object that a program passed: its settings stand in the section of its class."""
    name, options = described["expression"], dict(described.get("options", {}))
    if "settings" not in options:
        return dict(described)
    kind = PROXIES.find(name)
    section = own_section(name, kind) if PROXIES.is_custom(name) else kind.section_name()
    placed = {} if section is None else {section: options.pop("settings") or {}}
    return {"expression": name, "options": options, **placed}


def _sections() -> set[str]:
    return {PROXIES.find(name).section_name() for name in PROXIES.names}


def keep_for(proxy: Mapping[str, Any], expression: str) -> dict[str, Any]:
    """The recorded section ``proxy`` for another expression: without what is of custom classes that it does not name.

    Raises:
        ConfigError: a malformed expression, or a class that cannot be imported.
    """
    settings = validate(ProxySettings, proxy, "the recorded settings of proxies are wrong")
    changed = settings.model_copy(update={"expression": expression})
    before, now = ({name for name in single_names(one) if PROXIES.is_custom(name)} for one in (settings, changed))
    if before == now:
        return dict(proxy)
    known = {*ProxySettings.model_fields, *_sections(), *_sections_outside(changed)}
    return {key: value for key, value in proxy.items() if key in known} | {"options": {}}


def needs_training(settings: ProxySettings) -> bool:
    """Whether the score depends on the weights of a trained supernet.

    Raises:
        ConfigError: a malformed expression, or a class that cannot be imported.
    """
    return any(PROXIES.find(name).needs_training for name in leaf_names(settings))


def open_proxy(scoring: Scoring, settings: ProxySettings) -> Proxy:
    """The proxy that `settings` describe. A single name with weight 1 gives that proxy itself, not normalised.

    Raises:
        ConfigError: a malformed expression or an unknown name.
    """
    parts = parse_expression(settings.expression)
    custom = [name for name in single_names(settings) if PROXIES.is_custom(name)]
    if settings.options and len(custom) > 1:
        raise ConfigError(
            f"proxy.options are for one custom class; {settings.expression!r} names {len(custom)} of them, so leave "
            f"{', '.join(settings.options)} out."
        )
    proxies = tuple(settings.open(part.name, scoring) for part in parts)
    if len(parts) == 1 and parts[0].weight == 1:
        return proxies[0]
    weights = (part.weight for part in parts)
    return Combined(scoring, tuple(zip(weights, proxies, strict=True)), called([part.name for part in parts], proxies))


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
