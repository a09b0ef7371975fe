"""Training of one architecture from scratch.

Names are imported at first use, so that recipes can be read without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genas.retrain.recipe import RetrainSettings as RetrainSettings
    from genas.retrain.train import measure as measure
    from genas.retrain.train import retrain as retrain

_HOMES = {"RetrainSettings": "recipe", "measure": "train", "retrain": "train"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'genas.retrain' has no attribute {name!r}")
    return getattr(importlib.import_module(f"genas.retrain.{_HOMES[name]}"), name)
