"""The settings that every strategy has; no torch needed."""

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from genas.core.settings import Count, Settings, refuse_unknown
from genas.strategies.named import STRATEGIES


class SearchSettings(Settings):
    """The search. Defaults: methods.md 4.4. Those of one strategy alone stand beside them (`Strategy.Settings`)."""

    model_config = ConfigDict(extra="allow")

    algorithm: str = "evolution"
    """Strategy: ``evolution``, ``random``, or package.module:Name."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of a custom class's constructor, by name."""
    generations: int = Field(20, ge=1)
    """Generations (methods.md 4.4: 20)."""
    population: int = Field(50, ge=2)
    """Architectures per generation (methods.md 4.4: 50)."""
    parents: int = Field(10, ge=1)
    """Best of all so far that breed (methods.md 4.4: 10)."""
    mutations: int = Field(25, ge=0)
    """Children by mutation (methods.md 4.4: 25)."""
    crossovers: int = Field(25, ge=0)
    """Children by crossover (methods.md 4.4: 25); the rest of a generation is random."""
    mutation_probability: float = Field(0.1, gt=0, le=1)
    """Chance of each position to be redrawn (methods.md 4.4: 0.1)."""
    breeding: Literal["fresh", "as-published"] = "fresh"
    """How children are drawn that are not known. ``fresh``: up to 20 draws for each wanted child, mutation and
    crossover alike. ``as-published``: as the code of GeNAS and RLNAS does, mutation draws until it has its children,
    crossover gives up after 10 draws for each wanted child and 10 more (260 in all), and a child whose text before the
    repair was met in any earlier draw is not looked at again (methods.md 4.4)."""
    share_functions: bool = True
    """Score architectures that are one function of the supernet's weights only once (NAS-Bench-201 has many)."""
    budget: Literal["racing", "exact"] = "racing"
    """``racing``: stop scoring an architecture once it can hardly be among the best that the search keeps (`parents`);
    ``exact``: score every architecture on all validation images (methods.md 4.4)."""
    race_error: float = Field(0.05, gt=0, lt=0.5)
    """Expected share of the `parents` best, per generation, that a race stops although full evaluation would keep them
    (ours: 0.05, so at least 95 % agree)."""
    race_start: int = Field(256, ge=32)
    """Validation images of a race's first round; every further round adds half of what was seen (ours)."""
    noise_of_best: bool = True
    """Measure after the search whether the best scores differ by more than their noise: at most a twelfth more scores,
    five at most."""
    max_macs: Count | None = Field(None, ge=1)
    """Hard limit on MACs at the supernet's size, such as 30M (counts: docs/proxies.md); None for no limit."""
    max_params: Count | None = Field(None, ge=1)
    """Hard limit on parameters at the supernet's size, such as 1.5M; None for no limit."""

    @model_validator(mode="after")
    def _known_settings(self) -> Self:
        """Refuses further keys unless they are those of the strategy; a custom one is asked when it is opened."""
        if not self.model_extra or (type(self) is SearchSettings and STRATEGIES.is_custom(self.algorithm)):
            return self
        built_in = type(self) is SearchSettings and self.algorithm in STRATEGIES.table
        refuse_unknown(self, STRATEGIES.find(self.algorithm).Settings.model_fields if built_in else ())
        return self
