"""The code of custom classes that a run records."""

from genas.proxies import ProxySettings
from genas.strategies import Strategy
from genas.strategies.settings import SearchSettings
from genas.workflows.code import code_of_scores


class Still(Strategy):
    """Proposes nothing."""

    version = "1"

    def ask(self, history, rng, generation):
        raise NotImplementedError


def test_a_strategy_keeps_the_name_that_histories_have_recorded_for_it():
    # another one would be unknown to every history begun before, and scores of other code would be taken over
    name = f"{__name__}:Still"
    found = code_of_scores(ProxySettings(), SearchSettings(algorithm=name))
    assert list(found) == [f"search {name}"]
