"""What a search is worth: sentences about results that look right and mean little.

Each check is a pure function of numbers that a run folder holds; `read` collects them, `measure` makes those that only
an open run can give (the supernet against chance, the noise of the best scores). A verdict has a stable code for
programs and a sentence for people, which ends with what to do.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """A warning about a result.

    Args:
        code: stable name, such as ``supernet-not-trained``.
        sentence: what was found, in numbers, and what to do.
    """

    code: str
    sentence: str
