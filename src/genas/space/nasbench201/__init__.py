"""The NAS-Bench-201 space."""

from genas.space.nasbench201.encoding import NasBench201Architecture as NasBench201Architecture
from genas.space.nasbench201.network import NasBench201Network as NasBench201Network
from genas.space.nasbench201.space import NasBench201Config as NasBench201Config
from genas.space.nasbench201.space import NasBench201Space as NasBench201Space
