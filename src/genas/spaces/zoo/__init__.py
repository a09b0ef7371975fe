"""Published architectures of the DARTS space, with their published figures and our own counts.

Names are imported at first use: nothing here needs torch or timm before it is called.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from genas.core.lazy import check_extra, lazy_names

if TYPE_CHECKING:
    from genas.spaces.zoo.costs import Costs as Costs
    from genas.spaces.zoo.costs import costs as costs
    from genas.spaces.zoo.entry import Published as Published
    from genas.spaces.zoo.entry import ZooEntry as ZooEntry
    from genas.spaces.zoo.entry import load as load
    from genas.spaces.zoo.entry import names as names

_HOMES = {
    "Costs": "costs",
    "costs": "costs",
    "Published": "entry",
    "ZooEntry": "entry",
    "load": "entry",
    "names": "entry",
}

__getattr__ = lazy_names(__name__, _HOMES)


def register_timm() -> None:
    """Registers every published network with timm, which has no entry points for other packages' models.

    Calling it again does no harm.

    Raises:
        ConfigError: timm is not installed.
    """
    check_extra(["timm"], "timm")
    import_module("genas.spaces.zoo.timm_models")  # registers when executed
