"""Makes the published networks known to timm, in whichever order genas and timm are imported; neither is needed here.

timm has no entry points for other packages' models, and importing it with genas would cost seconds. So `import genas`
registers at once where timm is loaded already; otherwise a finder on `sys.meta_path` waits for the import of timm and
lets the registration follow it. It finds nothing itself: it asks the other finders and adds a step to their answer.
"""

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from genas.core.lazy import check_extra


def register_timm() -> None:
    """Registers every published network with timm; again does no harm. ``import genas`` does it of itself.

    Raises:
        ConfigError: timm is not installed.
    """
    if "timm" not in sys.modules:
        check_extra(["timm"], "timm")
    importlib.import_module("genas.spaces.zoo.timm_models")  # registers when executed


def watch() -> None:
    """Registers now if timm is imported, else as soon as it is."""
    if "timm" in sys.modules:
        _register_or_warn()
    elif not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


def _register_or_warn() -> None:
    try:
        register_timm()
    except Exception as error:  # whatever it is, `import timm` and `import genas` must go on
        warnings.warn(f"genas could not register its networks with timm: {error!r}", RuntimeWarning, stacklevel=2)


class _Watch(MetaPathFinder):
    """Adds the registration to the execution of timm."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The other finders' answer for ``timm``, with the registration after its execution."""
        if fullname != "timm":
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if finder is self or find is None else find(fullname, path, target)
            if spec is not None:
                self._follow(spec)
                return spec
        return None

    def _follow(self, spec: ModuleSpec) -> None:
        if spec.loader is None:
            return
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _register_or_warn()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
