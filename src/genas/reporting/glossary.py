"""What the scores and their terms mean, in a sentence each: the one place that pages take explanations from."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genas.proxies import Proxy

TERMS: dict[str, str] = {
    "shared_with": "architecture of the same function whose score this is",
    "value": "score of the part alone",
    "normalised": "the same in the unit in which it enters the sum",
    "weight": "factor of the part",
    "contribution": "weight times normalised value: what the part adds to the score",
    "share": "size of the contribution relative to those of all parts",
}
"""By the name in a score's terms; those of a proxy's own are `Proxy.terms`."""


def explain(parts: Mapping[str, Any], expression: str) -> list[tuple[str, str]]:
    """The proxies of an expression and the terms of a score, explained; what is not known here is left out.

    Args:
        parts: terms of the score; of a sum, by part.
        expression: of the proxy.
    """
    from genas.proxies.expression import names_of  # torch: a page without scores does without it
    from genas.proxies.named import PROXIES

    summands = {name for name, value in parts.items() if isinstance(value, Mapping) and "contribution" in value}
    kinds = {name: PROXIES.find(name) for name in PROXIES.names}
    named = [kind for name, kind in kinds.items() if name in summands or name in names_of(expression)]
    told = set(_terms(parts))
    terms = {name: text for kind in kinds.values() for name, text in kind.terms.items()} | TERMS
    return [(kind.name, meaning(kind)) for kind in named] + [
        (name.replace("_", " "), text) for name, text in terms.items() if name in told
    ]


def meaning(kind: "type[Proxy]") -> str:
    """What a proxy means, its formula and where it comes from."""
    source = "" if kind.citation == "-" else f" Source: {kind.citation}."
    return f"{kind.explanation} Formula: {kind.formula}.{source}"


def _terms(parts: Mapping[str, Any]) -> Iterable[str]:
    for name, value in parts.items():
        if isinstance(value, Mapping) and "contribution" in value:
            yield from ("value", "weight", "contribution", "share")
            yield from (key for key in value if key != "normalised")
        else:
            yield name
