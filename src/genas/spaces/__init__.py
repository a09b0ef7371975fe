"""Search spaces: architectures, their text forms, their networks and costs.

Names are imported at first use, so that the text forms can be had without torch.
"""

from typing import TYPE_CHECKING

from genas.core.lazy import lazy_names

if TYPE_CHECKING:
    from genas.spaces.architecture import Architecture as Architecture
    from genas.spaces.architecture import ChoiceArchitecture as ChoiceArchitecture
    from genas.spaces.base import AngleTerms as AngleTerms
    from genas.spaces.base import FeatureInfo as FeatureInfo
    from genas.spaces.base import Network as Network
    from genas.spaces.base import Space as Space
    from genas.spaces.choices import ChoiceSpace as ChoiceSpace
    from genas.spaces.cost import Cost as Cost
    from genas.spaces.cost import architecture_cost as architecture_cost
    from genas.spaces.cost import largest_width as largest_width
    from genas.spaces.definition import SPACES as SPACES
    from genas.spaces.definition import CellGraph as CellGraph
    from genas.spaces.definition import SpaceDefinition as SpaceDefinition
    from genas.spaces.edges import Edge as Edge
    from genas.spaces.edges import EdgeSpace as EdgeSpace
    from genas.spaces.edges import Mix as Mix
    from genas.spaces.edges import MixedNetwork as MixedNetwork
    from genas.spaces.named import open_space as open_space
    from genas.spaces.path import copy_path as copy_path

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
    "Edge": "edges",
    "EdgeSpace": "edges",
    "Mix": "edges",
    "MixedNetwork": "edges",
}

__getattr__ = lazy_names(__name__, _HOMES)
