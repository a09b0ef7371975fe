"""Published architectures of the DARTS space, with their published figures and our own counts.

Names are imported at first use: nothing here needs torch or timm before it is called.
"""

from typing import TYPE_CHECKING

from genas.core.lazy import lazy_names

if TYPE_CHECKING:
    from genas.spaces.zoo.costs import Costs as Costs
    from genas.spaces.zoo.costs import costs as costs
    from genas.spaces.zoo.entry import Published as Published
    from genas.spaces.zoo.entry import ZooEntry as ZooEntry
    from genas.spaces.zoo.entry import load as load
    from genas.spaces.zoo.entry import names as names
    from genas.spaces.zoo.hook import register_timm as register_timm

_HOMES = {
    "Costs": "costs",
    "costs": "costs",
    "Published": "entry",
    "ZooEntry": "entry",
    "load": "entry",
    "names": "entry",
    "register_timm": "hook",
}

__getattr__ = lazy_names(__name__, _HOMES)
