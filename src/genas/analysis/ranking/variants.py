"""What is ranked: proxies with their settings, costs, and aggregated ranks, each under a name of its own.

On the command line a list such as ``loss,flatness,angle + 16*flatness,ranks(loss,macs)``; in a YAML file, names with
settings of the section ``proxy`` that differ from the run's:

    flatness-16-draws:
      expression: flatness
      flatness: {draws: 16, alpha: 0}
    both: ranks(flatness-16-draws, loss)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from genas.core.errors import ConfigError
from genas.core.seeding import derive
from genas.core.settings import current_names, merge, validate
from genas.proxies import ProxySettings, parse_expression
from genas.proxies.expression import code_of_proxies, complete, keep_for

COVARIATES = ("loss", "macs")
"""Always ranked: the baselines, and what partial correlations are given."""
COSTS = ("params", "macs")
_RANKS = re.compile(r"(ranks|logranks)\s*\((.*)\)\s*", re.DOTALL)


@dataclass(frozen=True)
class Variant:
    """One thing that ranks architectures.

    Args:
        name: how it is called in tables and figures.
        kind: ``proxy``: scored with the supernet; ``cost``: parameters or MACs; ``ranks``: mean rank of others;
            ``logranks``: their summed log ranks.
        settings: of a proxy.
        members: names of the variants whose ranks are aggregated.
    """

    name: str
    kind: Literal["proxy", "cost", "ranks", "logranks"]
    settings: ProxySettings | None = None
    members: tuple[str, ...] = ()

    @property
    def proxy_settings(self) -> ProxySettings:
        """The settings of a variant that is a proxy."""
        assert self.settings is not None
        return self.settings

    def describe(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        return {
            "kind": self.kind,
            "members": list(self.members),
            "settings": None if self.settings is None else self.settings.model_dump(mode="json"),
            "code": {} if self.settings is None else code_of_proxies(self.settings),
        }


def repetition(variant: Variant, seed: int, repeat: int) -> tuple[Variant, int]:
    """What is scored, and with which seed, the `repeat`-th time (0: as in a search).

    The scoring's seed decides everything that is random in a proxy: noise, the random part of the validation images,
    the images that batch norm is recalibrated on, and their augmentation. Architectures and supernet stay.
    """
    return variant, seed if repeat == 0 else derive(seed, "rank.repeat", repeat)


def read_variants(text: str, named: Mapping[str, Any], base: ProxySettings) -> tuple[Variant, ...]:
    """The variants of a study, the covariates first, every name once.

    Args:
        text: the list of the command line; may be empty.
        named: the content of the file of variants.
        base: the run's settings of proxies.

    Raises:
        ConfigError: an unknown proxy, a malformed expression or list, unknown or impossible settings.
    """
    reader = _Reader(named, base)
    for name in (*COVARIATES, *split_list(text), *named):
        reader.add(name)
    return tuple(reader.found.values())


def split_list(text: str) -> list[str]:
    """Splits at the commas outside parentheses.

    Raises:
        ConfigError: parentheses that do not match, or an empty entry.
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            break
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    if depth != 0:
        raise ConfigError(f"the list of proxies {text!r} has parentheses that do not match.")
    cleaned = [" ".join(part.split()) for part in parts]
    if cleaned == [""]:
        return []
    if "" in cleaned:
        raise ConfigError(f"the list of proxies {text!r} has an empty entry between two commas.")
    return cleaned


class _Reader:
    def __init__(self, named: Mapping[str, Any], base: ProxySettings) -> None:
        self.named, self.base = named, base
        self.found: dict[str, Variant] = {}
        for name in named:
            if not isinstance(name, str) or not re.fullmatch(r"[^\s,()#][^,()#]*", name):
                raise ConfigError(f"the variant {name!r} needs another name: a text without commas, parentheses and #.")
            if name in (*COSTS, *COVARIATES, "genotype", "failures"):  # the last two are columns of scores.csv
                raise ConfigError(f"the variant {name!r} needs another name: this one has a meaning in every study.")

    def add(self, text: str) -> Variant:
        """Adds the variant called or written `text`, once, after those that it is made of."""
        if text in self.found:
            return self.found[text]
        content = self.named.get(text, text)
        if isinstance(content, str):
            variant = self._written(content)
        elif isinstance(content, Mapping):
            variant = Variant(text, "proxy", self._settings(text, content))
        else:
            raise ConfigError(f"the variant {text!r} is {content!r}: expected an expression or a mapping of settings.")
        self.found[text] = replace(variant, name=text)
        return self.found[text]

    def _written(self, text: str) -> Variant:
        aggregation = _RANKS.fullmatch(text)
        if aggregation is not None:
            members = split_list(aggregation.group(2))
            if len(members) < 2:
                raise ConfigError(
                    f"Invalid aggregation {text!r}: expected at least two proxies to aggregate, got {len(members)}."
                )
            for member in members:
                if _RANKS.fullmatch(str(self.named.get(member, member))):
                    raise ConfigError(
                        f"{text!r} aggregates {member!r}, itself an aggregation; name its members instead."
                    )
                self.add(member)
            return Variant(text, "logranks" if aggregation.group(1) == "logranks" else "ranks", None, tuple(members))
        if text in COSTS:
            return Variant(text, "cost")
        parse_expression(text)
        return Variant(text, "proxy", self._settings(text, {"expression": text}))

    def _settings(self, name: str, changes: Mapping[str, Any]) -> ProxySettings:
        base = self.base.model_dump()
        if isinstance(changes.get("expression"), str):
            base = keep_for(base, changes["expression"])
        settings = validate(
            ProxySettings,
            merge(base, current_names(ProxySettings, changes)),
            f"the settings of the variant {name!r} are wrong",
        )
        if settings.evaluation.engine == "auto":
            raise ConfigError(
                f"the variant {name!r} has evaluation.engine=auto, which is decided once for a run; expected plain, "
                "fast or onnxruntime, so that the study records what computed its scores."
            )
        return complete(settings)
