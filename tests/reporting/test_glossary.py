"""Every proxy that comes with genas, and every term of its scores, is explained."""

import pytest

from genas.proxies import ProxySettings, open_proxy
from genas.proxies.expression import KNOWN
from genas.proxies.named import PROXIES
from genas.reporting.glossary import TERMS, explain, meaning


def test_every_proxy_says_what_it_means_and_where_it_comes_from():
    for kind in map(PROXIES.find, KNOWN):
        assert all((kind.explanation, kind.formula, kind.citation, kind.passes)), kind.name
        assert kind.explanation in meaning(kind)


@pytest.mark.parametrize("expression", [*KNOWN, "angle + 2*relative-flatness - 0.1*jacob-cov"])
def test_every_term_of_a_score_is_explained(nas_scoring, expression):
    if expression == "consensus":
        pytest.skip("its parts are those of its members")
    proxy = open_proxy(nas_scoring, ProxySettings(expression=expression))
    score = proxy.score(nas_scoring.space.parse("333103"))
    terms = getattr(score, "terms", {})
    flat = {}
    for name, value in terms.items():
        flat |= value if isinstance(value, dict) and "contribution" in value else {name: value}
    names = ["relative-flatness", "angle", "jacob-cov"] if "+" in expression else [expression]
    kinds = [PROXIES.find(name) for name in names]
    assert set(flat) <= set(TERMS).union(*(kind.terms for kind in kinds))
    told = explain(terms, expression)
    assert told[: len(names)] == [(kind.name, meaning(kind)) for kind in kinds]
    assert {name.replace("_", " ") for name in flat if name != "normalised"} <= {name for name, _ in told}


def test_what_is_not_known_is_left_out():
    assert explain({"my_term": 3}, "module:Own") == []
    assert [name for name, _ in explain({}, "angle+16*flatness")] == ["flatness", "angle"]
    assert [name for name, _ in explain({}, "relative-flatness - 0.1*loss")] == ["relative-flatness", "loss"]
