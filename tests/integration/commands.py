"""Runs commands of genas in this process."""

import sys

from genas.cli import app


def genas(*arguments):
    """Exit code of one command; output goes to the captured streams."""
    before = sys.argv
    sys.argv = ["genas", *map(str, arguments)]
    try:
        app.main()
    except SystemExit as end:
        return end.code or 0
    finally:
        sys.argv = before
    return 0
