"""Search spaces: architectures, their text forms, their networks and costs.

Names are imported at first use, so that the text forms can be had without torch.
"""

from typing import TYPE_CHECKING

from genas.lazy import lazy_names

if TYPE_CHECKING:
    from genas.space.architecture import Architecture as Architecture
    from genas.space.architecture import ChoiceArchitecture as ChoiceArchitecture
    from genas.space.base import AngleTerms as AngleTerms
    from genas.space.base import FeatureInfo as FeatureInfo
    from genas.space.base import Network as Network
    from genas.space.base import Space as Space
    from genas.space.choices import ChoiceSpace as ChoiceSpace
    from genas.space.cost import Cost as Cost
    from genas.space.cost import architecture_cost as architecture_cost
    from genas.space.cost import largest_width as largest_width
    from genas.space.definition import SPACES as SPACES
    from genas.space.definition import CellGraph as CellGraph
    from genas.space.definition import SpaceDefinition as SpaceDefinition
    from genas.space.named import open_space as open_space
    from genas.space.path import copy_path as copy_path

_HOMES = {
    "Architecture": "architecture",
    "ChoiceArchitecture": "architecture",
    "AngleTerms": "base",
    "FeatureInfo": "base",
    "Network": "base",
    "Space": "base",
    "ChoiceSpace": "choices",
    "Cost": "cost",
    "architecture_cost": "cost",
    "largest_width": "cost",
    "open_space": "named",
    "SPACES": "definition",
    "CellGraph": "definition",
    "SpaceDefinition": "definition",
    "copy_path": "path",
}

__getattr__ = lazy_names(__name__, _HOMES)
