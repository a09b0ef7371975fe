"""The DARTS space."""

from genas.space.darts.encoding import DartsArchitecture as DartsArchitecture
from genas.space.darts.network import DartsNetwork as DartsNetwork
from genas.space.darts.space import DartsConfig as DartsConfig
from genas.space.darts.space import DartsSpace as DartsSpace
