"""Training of one architecture from scratch.

Names are imported at first use, so that recipes can be read without torch.
"""

from typing import TYPE_CHECKING

from genas.core.lazy import lazy_names

if TYPE_CHECKING:
    from genas.training.standalone.recipe import RetrainSettings as RetrainSettings
    from genas.training.standalone.train import measure as measure
    from genas.training.standalone.train import retrain as retrain

_HOMES = {"RetrainSettings": "recipe", "measure": "train", "retrain": "train"}

__getattr__ = lazy_names(__name__, _HOMES)
