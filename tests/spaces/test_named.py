import pytest

from genas.core.errors import ConfigError
from genas.spaces import open_space
from genas.spaces.darts.space import DartsConfig, DartsSpace
from genas.spaces.named import check_recorded, describe_given, reopen


class Mine(DartsSpace):
    """The same options under another name."""


class Other(DartsSpace):
    """Options of its own."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__(DartsConfig(channels=channels, cells=3))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (DartsSpace(DartsConfig(cells=5)), "darts"),
        (Mine(DartsConfig(cells=5)), f"{__name__}:Mine"),
        (Other(6), f"{__name__}:Other"),
        (Other(), f"{__name__}:Other"),
    ],
)
def test_a_subclass_is_recorded_as_itself(given, name):
    description = given.describe()
    assert description["name"] == name
    again = reopen(description)
    assert type(again) is type(given)
    assert again.config == given.config
    check_recorded(given)
    if type(given) is DartsSpace:
        assert describe_given(given) == description


def test_final_networks_of_a_subclass_are_of_the_subclass():
    """They were of DartsSpace: another network than the supernet's."""
    final = Mine(DartsConfig(cells=3)).final(cells=5)
    assert type(final) is Mine
    assert (final.config.cells, final.config.pool_bn) == (5, False)
    assert Other(6).final(channels=8).config.channels == 8
    with pytest.raises(ConfigError, match="has no cells for final networks"):
        Other(6).final(cells=5)


def test_a_subclass_is_not_equal_to_its_base():
    """Counts of networks are kept by space."""
    assert Mine() != DartsSpace()
    assert DartsSpace() != Mine()
    assert Mine() == Mine()
    assert open_space("darts") == DartsSpace()
