"""Writes the code of one kind of network into a single file that needs torch, safetensors, numpy and Pillow only.

The file is not a second implementation: it consists of the very classes and functions that genas uses, taken from its
source. Beginning with the network's class and the reader of its text form, every definition that these mention is
followed through genas's modules, preprocessing included; what is never mentioned (training, search) stays out.
`genas export` loads the result and compares it with the network before it lets go of it.
"""

import ast
import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genas.data.preprocessing import Preprocessing
from genas.spaces.base import Architecture, Network

PACKAGE = "genas"

_HEAD = '''"""{title}, in one file that needs torch, safetensors, numpy and Pillow, but not genas.

    from modeling import load, preprocess
    network, config = load("FOLDER OF THIS FILE")
    logits = network(preprocess(Image.open("dog.jpg"), config)[None])

Written by genas {version} from its own source; Apache License 2.0.
"""

'''

_TAIL = '''

def build(config: dict[str, Any]) -> {network}:
    """The network that ``config.json`` describes, with random weights."""
    return {network}(config["classes"], {architecture}.parse(config["genotype"]), **config["network"])


def load(folder: str | Path = Path(__file__).parent) -> tuple[{network}, dict[str, Any]]:
    """The trained network, in evaluation mode, and its description."""
    config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    network = build(config)
    network.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    if config["image_shape"][0] in (1, 3):  # of other channels there are no image files
        network.attach(Preprocessing.of(config))
    return network.eval(), config


def preprocess(image: Image.Image, config: dict[str, Any] | None = None) -> Tensor:
    """An image of any size and mode as the network wants it, [C, H, W] float32: the rule of ``config.json``.

    The very pixels that the network was evaluated on. `config` is what `load` gave; None for the file beside this one.
    """
    if config is None:
        config = json.loads((Path(__file__).parent / "config.json").read_text(encoding="utf-8"))
    return Preprocessing.of(config)(image)


def normalise(pixels: Tensor, config: dict[str, Any]) -> Tensor:
    """Pixels [B, C, H, W] in [0, 1] as the network wants them."""
    mean, std = (pixels.new_tensor(config[key])[:, None, None] for key in ("mean", "std"))
    return (pixels - mean) / std
'''

_TAIL_IMPORTS = (
    "import json",
    "from PIL import Image",
    "from pathlib import Path",
    "from safetensors.torch import load_file",
    "from torch import Tensor",
    "from typing import Any",
)


def can_stand_alone(network: Network) -> bool:
    """Whether `network` is one of genas's own; a user's own class may need anything."""
    return type(network).__module__.partition(".")[0] == PACKAGE


def constructor_options(network: Network, space: Mapping[str, Any], image_channels: int) -> dict[str, Any]:
    """The keyword arguments that build such a network: those options of its space that its class takes.

    Args:
        network: of the class.
        space: what `Space.describe` gave.
        image_channels: of the images.
    """
    taken = inspect.signature(type(network).__init__).parameters
    options = {key: value for key, value in space.items() if key in taken}
    return options | {"image_channels": image_channels}


def modeling_source(network: Network, architecture: Architecture, title: str, version: str) -> str:
    """The text of ``modeling.py``.

    Args:
        network: a stand-alone network of genas.
        architecture: its architecture, whose class has the reader ``parse``.
        title: first words of the file.
        version: of genas.
    """
    source = _Source()
    name = type(network).__name__
    source.take(type(network).__module__, name)
    source.take(type(architecture).__module__, type(architecture).__name__)
    source.take(Preprocessing.__module__, Preprocessing.__name__)
    body = source.text(_TAIL_IMPORTS)
    return (
        _HEAD.format(title=title, version=version)
        + body
        + _TAIL.format(network=name, architecture=type(architecture).__name__)
    )


@dataclass
class _Module:
    """The top level of one module: its definitions in source order, and where its other names come from."""

    lines: list[str]
    definitions: dict[str, ast.stmt] = field(default_factory=dict)
    inside: dict[str, tuple[str, str]] = field(default_factory=dict)  # name: (module of genas, name there)
    outside: dict[str, str] = field(default_factory=dict)  # name: import statement


class _Source:
    """Definitions gathered from genas's modules."""

    def __init__(self) -> None:
        self._modules: dict[str, _Module] = {}
        self._order: list[str] = []  # modules, imported ones first
        self._taken: dict[str, str] = {}  # name: module
        self._imports: set[str] = set()

    def take(self, module: str, name: str) -> None:
        """Takes a definition and all that it mentions."""
        found = self._module(module)
        if name in found.inside:
            return self.take(*found.inside[name])
        if name in found.outside:
            self._imports.add(found.outside[name])
            return None
        if name not in found.definitions:
            return None  # a local variable, or Python's own
        other = self._taken.setdefault(name, module)
        if other != module:
            raise AssertionError(f"{name} is defined in both {other} and {module}: one file cannot hold both")
        node = found.definitions[name]
        if getattr(node, "_seen", False):
            return None
        node._seen = True  # type: ignore[attr-defined]
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and inner.id != name:
                self.take(module, inner.id)
        return None

    def text(self, imports: tuple[str, ...]) -> str:
        """The definitions, each module's in its own order, behind the imports."""
        parts = ["\n".join(_sorted_imports(self._imports | set(imports)))]
        constants = True
        for module in self._order:
            found = self._modules[module]
            for name, node in found.definitions.items():
                if self._taken.get(name) != module or not getattr(node, "_seen", False):
                    continue
                is_constant = isinstance(node, ast.Assign | ast.AnnAssign)
                first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
                code = "\n".join(found.lines[first - 1 : node.end_lineno])
                parts.append(("\n" if is_constant and constants else "\n\n") + code)
                constants = is_constant
        return "\n".join(parts) + "\n"

    def _module(self, name: str) -> _Module:
        if name in self._modules:
            return self._modules[name]
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        text = Path(spec.origin).read_text(encoding="utf-8")
        found = self._modules[name] = _Module(text.splitlines())
        for node in ast.parse(text).body:
            if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == PACKAGE:
                for alias in node.names:
                    found.inside[alias.asname or alias.name] = (node.module, alias.name)
                    self._module(node.module)
            elif isinstance(node, ast.ImportFrom | ast.Import):
                for alias in node.names:
                    start = f"from {node.module} import " if isinstance(node, ast.ImportFrom) else "import "
                    as_name = f" as {alias.asname}" if alias.asname else ""
                    found.outside[alias.asname or alias.name.partition(".")[0]] = start + alias.name + as_name
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.definitions[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    for inner in ast.walk(target):
                        if isinstance(inner, ast.Name):
                            found.definitions[inner.id] = node
        self._order.append(name)
        return found


def _sorted_imports(statements: set[str]) -> list[str]:
    """``import x`` first, then ``from x import a, b`` with the names of a module put together."""
    plain = sorted(one for one in statements if one.startswith("import "))
    together: dict[str, list[str]] = {}
    for one in statements:
        if one.startswith("from "):
            start, _, names = one.partition(" import ")
            together.setdefault(start, []).append(names)
    return plain + [f"{start} import {', '.join(sorted(names))}" for start, names in sorted(together.items())]


def load_modeling(folder: Path) -> Any:
    """The module ``modeling.py`` of an exported folder, imported under a name of its own.

    The file is run; it is meant for a folder that this process has just written.
    """
    spec = importlib.util.spec_from_file_location("genas_exported_modeling", folder / "modeling.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module
