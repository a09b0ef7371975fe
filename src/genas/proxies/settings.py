"""The settings of proxies that can be read without torch."""

from genas.core.settings import Settings


class ExpressionSettings(Settings):
    """What is maximised."""

    expression: str = "flatness"
    """What is maximised: flatness, angle, accuracy, loss, macs, synflow, sharpness and others (docs/proxies.md), or a
    weighted sum such as 'angle + 16*flatness'."""
