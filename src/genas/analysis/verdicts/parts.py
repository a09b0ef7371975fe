"""Which part of a weighted sum decides: the share of each part's spread over the architectures, not of its size.

A part of 1,000 that is the same for all architectures decides nothing; one of 0.001 that differs decides all that the
others leave open. So the share of a part is its standard deviation over the evaluated architectures, divided by the sum
of the standard deviations of all parts.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genas.analysis.verdicts import Verdict

NO_SAY = 0.02  # share of the spread under which a part has no say
FEW = 4  # architectures under which no spread is looked at


@dataclass(frozen=True)
class Spread:
    """How much a part of a sum differs between the architectures.

    Args:
        name: of the part.
        weight: in the sum.
        deviation: standard deviation of its contribution.
        share: of the sum of all deviations; 0 where nothing differs.
    """

    name: str
    weight: float
    deviation: float
    share: float


def spreads(rows: Sequence[Mapping[str, Mapping[str, float]]]) -> tuple[Spread, ...]:
    """The spread of every part, the greatest first.

    Args:
        rows: per architecture the parts of its score, each with ``weight`` and ``contribution``.
    """
    if len(rows) < FEW:
        return ()
    deviations = {name: statistics.pstdev([row[name]["contribution"] for row in rows]) for name in rows[0]}
    whole = math.fsum(deviations.values())
    found = [
        Spread(name, float(rows[0][name]["weight"]), deviation, deviation / whole if whole else 0.0)
        for name, deviation in deviations.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.share))


def swamped(parts: Sequence[Spread]) -> Verdict | None:
    """One part, or some, decide alone.

    Args:
        parts: from `spreads`.
    """
    silent = [one for one in parts if one.share < NO_SAY]
    if len(parts) < 2 or not silent or not any(one.deviation for one in parts):
        return None
    first = parts[0]
    told = []
    for one in silent:
        share = f"{one.name} has {100 * one.share:.2g} % of the spread of the sum over the architectures"
        if one.deviation:
            told.append(f"{share} ({first.name} spreads {first.deviation / one.deviation:,.3g} times as far)")
        else:
            told.append(f"{share}: it is the same for all of them")
    told[-1] += ", so it has no say in the choice" if len(silent) == 1 else ", so they have no say in the choice"
    advice = [f"{one.weight * first.deviation / one.deviation:.3g}*{one.name}" for one in silent if one.deviation]
    end = f". An equal say would take the weight {' and '.join(advice)}." if advice else "."
    return Verdict("part-without-say", f"In the weighted sum, {'; '.join(told)}{end}")
