"""Scores of named architectures with a run's supernet: what ``genas score`` does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genas.core.errors import ConfigError, GenasError
from genas.core.registry import blame
from genas.core.result import Result, plain
from genas.data import Dataset
from genas.proxies import Proxy, Score, checked_score, needs_training, open_proxy
from genas.spaces import Architecture
from genas.strategies.measure import NOT_THE_ARCHITECTURES_FAULT
from genas.workflows.config import Config, Layers, given_layers
from genas.workflows.session import Session, changed_settings
from genas.workflows.subject import parse_architecture, text_of

CHANGEABLE = ("proxy", "precision", "device")


@dataclass(frozen=True)
class Scored(Result):
    """The score of an architecture.

    Args:
        genotype: its text form.
        score: higher is better.
        terms: what the score is made of.
        params: parameters of its path at the supernet's size.
        macs: multiply-accumulates of that path for one image.
        objectives: what the proxy gives beside the score; empty for most.
    """

    genotype: str
    score: float
    terms: Mapping[str, Any]
    params: int
    macs: int
    objectives: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The terms stand beside the score."""
        return {
            "genotype": self.genotype,
            "score": self.score,
            **plain(self.terms),
            **({"objectives": plain(self.objectives)} if self.objectives else {}),
            "params": self.params,
            "macs": self.macs,
        }


@dataclass(frozen=True)
class Scores(Result):
    """Scores of architectures with the supernet of a run.

    Args:
        run: the run folder.
        proxy: the expression that was scored by.
        architectures: one entry each, in the order in which they were given.
    """

    run: Path
    proxy: str
    architectures: tuple[Scored, ...]


def score(
    run: str | Path,
    architectures: str | Architecture | Sequence[str | Architecture],
    *,
    proxy: str | type[Proxy] | Proxy | None = None,
    data: str | type[Dataset] | Dataset | None = None,
    data_root: str | Path | None = None,
    settings: Layers = None,
    device: str | None = None,
    quiet: bool = False,
) -> Scores:
    """Scores architectures with a run's supernet; nothing is written to the run.

    Args:
        run: a run folder with a trained supernet.
        architectures: text forms, names of `genas.zoo` or `Architecture` objects; one or several.
        proxy: an expression, a `Proxy` subclass or an object of one; None for the run's own.
        data: where the run's data are now: ``folder:PATH``, or an object; None for where they were.
        data_root: the same, of a named data set.
        settings: changes of the run's settings of ``proxy`` and ``precision``, nested as in the YAML file.
        device: ``auto``, ``cpu`` or ``cuda``; None for the run's.
        quiet: no progress.

    Raises:
        GenotypeError: a malformed text.
        RunError: the supernet is not finished.
        ConfigError: a setting that the run fixes, or a proxy that cannot score the architecture.
    """
    run = Path(run)
    asked = [architectures] if isinstance(architectures, str | Architecture) else architectures
    layers = given_layers(settings, proxy=proxy)
    session = Session(
        changed_settings(run, layers, CHANGEABLE, data=data, data_root=data_root, device=device), run, quiet=quiet
    )
    config = session.config
    opened = [parse_architecture(session.space, text_of(each)) for each in asked]
    by = open_proxy(session.scoring(run, untrained=not needs_training(config.proxy)), config.proxy)
    rows = []
    for architecture in opened:
        found, cost = _score(by, architecture, config), session.cost(architecture)
        rows.append(
            Scored(architecture.genotype, found.value, found.terms, cost.params, cost.macs, dict(found.objectives))
        )
    return Scores(run, config.proxy.expression, tuple(rows))


def _score(proxy: Proxy, architecture: Architecture, config: Config) -> Score:
    try:
        return checked_score(proxy, architecture)
    except NOT_THE_ARCHITECTURES_FAULT:
        raise
    except Exception as error:  # a custom proxy may raise anything
        said = str(error).rstrip(".") if isinstance(error, GenasError) else blame(error)
        raise ConfigError(f"{config.proxy.expression!r} cannot score {architecture.genotype}: {said}.") from error
