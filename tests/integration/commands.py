"""Runs commands of genas in this process."""

import signal
import sys

from genas.cli import app

FAST = {
    "space.cells_per_stage": 1,
    "space.channels": 4,
    "supernet.epochs": 1,
    "supernet.batch_size": 64,
    "search.generations": 2,
    "search.population": 4,
    "search.parents": 2,
    "search.mutations": 1,
    "search.crossovers": 1,
    "proxy.evaluation.images": 64,
    "proxy.batchnorm.images": 64,
    "retrain.epochs": 1,
    "baseline.choice": "none",
}
"""A whole search on digits in seconds; settings by name."""


def genas(*arguments):
    """Exit code of one command; output goes to the captured streams."""
    before, handler = sys.argv, signal.getsignal(signal.SIGINT)
    sys.argv = ["genas", *map(str, arguments)]
    try:
        app.main()
    except SystemExit as end:
        return end.code or 0
    finally:
        sys.argv = before
        signal.signal(signal.SIGINT, handler)  # a command that was interrupted ignores further ones
    return 0


def refused(capsys, *arguments, code=2):
    """The sentence on the error stream of a command that must fail."""
    capsys.readouterr()
    assert genas(*arguments) == code
    out = capsys.readouterr()
    assert "Traceback" not in out.err
    sentence = " ".join(out.err.split())
    assert sentence
    return sentence
