"""Search spaces: architectures, their text forms, their networks and costs."""

from genas.space.base import AngleTerms as AngleTerms
from genas.space.base import Architecture as Architecture
from genas.space.base import Network as Network
from genas.space.base import Space as Space
from genas.space.cost import Cost as Cost
from genas.space.cost import architecture_cost as architecture_cost
from genas.space.named import open_space as open_space
from genas.space.named import spaces as spaces
from genas.space.path import copy_path as copy_path
