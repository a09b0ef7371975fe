"""Texts on the command line that no plain type describes; a wrong one is named with its option."""

import math
import re
from collections.abc import Callable
from pathlib import Path

from genas.core.errors import ConfigError
from genas.core.settings import parse_count

_LONGEST = 19  # digits of a whole number; more is none of ours


def read_count(text: str, option: str) -> int:
    """Reads ``600M``, ``1.5M``, ``30000``.

    Raises:
        ConfigError: anything else.
    """
    try:
        return parse_count(text)
    except ValueError as error:
        raise ConfigError(f"Invalid {option} {text!r}: {error}.") from error


def read_share(text: str, option: str) -> float:
    """Reads ``10%`` or ``0.1``.

    Raises:
        ConfigError: anything else.
    """
    match = re.fullmatch(r"\s*(\d{1,3}(?:\.\d{1,9})?|\.\d{1,9})\s*(%?)\s*", text)
    share = float(match.group(1)) / (100 if match.group(2) else 1) if match else 0.0
    if not 0 < share <= 1:
        raise ConfigError(f"Invalid {option} {text!r}: expected a share above 0 and up to 1, such as 10% or 0.1.")
    return share


def read_seeds(text: str, option: str) -> list[int]:
    """Reads ``0,1,2``.

    Raises:
        ConfigError: anything else.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < _LONGEST for part in parts):
        raise ConfigError(f"Invalid {option} {text!r}: expected whole numbers with commas between them, such as 0,1,2.")
    return [int(part) for part in parts]


def read_numbers(text: str, option: str) -> list[float]:
    """Reads ``0,1.5,16``.

    Raises:
        ConfigError: anything else.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or "_" in text or not all(math.isfinite(number) for number in numbers):
        raise ConfigError(f"Invalid {option} {text!r}: expected numbers with commas between them, such as 0,1.5,16.")
    return numbers


def read_names(text: str, option: str) -> list[str]:
    """Reads ``cifar10,cifar100``.

    Raises:
        ConfigError: an empty name.
    """
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise ConfigError(f"Invalid {option} {text!r}: expected names with commas between them.")
    return names


def read_whole_or_all(text: str, option: str, least: int = 1) -> int | None:
    """Reads ``1024``; None for ``all``.

    Raises:
        ConfigError: anything else.
    """
    number = text.strip()
    if number.lower() == "all":
        return None
    whole = number.isascii() and number.isdigit() and len(number) < _LONGEST and int(number) > 0
    if not whole or int(number) < least:
        bound = f"of at least {least}" if whole else "above 0"
        raise ConfigError(f"Invalid {option} {text!r}: expected a whole number {bound}, or all.")
    return int(number)


def read_either_or_both(first: str, second: str) -> Callable[[str, str], list[str]]:
    """What reads one of two words, or ``both``."""

    def read(text: str, option: str) -> list[str]:
        if text not in (first, second, "both"):
            raise ConfigError(f"Invalid {option} {text!r}: expected {first}, {second} or both.")
        return [first, second] if text == "both" else [text]

    return read


def read_path(text: str, option: str) -> str:
    """Reads a path as it is written down: without what does not matter, such as a slash at its end."""
    return str(Path(text))
