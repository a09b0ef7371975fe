"""What tells one version of a custom class from another: its declared ``version``, or a digest of its source.

The digest covers the class, what it mentions of its own module, and what it takes from other modules of the user's:
base classes, functions, constants, to any depth. Installed packages do not count, nor do comments, docstrings, layout
and whatever of a file the class has nothing to do with: editing a proxy leaves a space in the same file alone.
"""

import ast
import hashlib
import importlib.util
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from genas.core.errors import RunError

LENGTH = 12  # bytes of a digest


def fingerprint(kind: type) -> str:
    """``version ...`` where the class declares one, ``source ...`` where its source can be read, else ``unknown``.

    A version is that of the very class: one that is inherited says nothing of what the subclass adds.
    """
    version = vars(kind).get("version")
    if isinstance(version, str | int) and not isinstance(version, bool):
        return f"version {version}"
    digest = source_digest(kind)
    return "unknown" if digest is None else f"source {digest}"


def refuse_other_code(before: Mapping[str, str], now: Mapping[str, str], since: str, advice: str) -> None:
    """Compares fingerprints of the same classes; a class that only one side knows, or whose code is unknown, passes.

    Args:
        before: by what the class is, such as ``proxy package.module:Name``: what was recorded.
        now: the same, as the code is.
        since: when it was recorded, as the end of "has changed since ...".
        advice: what to do.

    Raises:
        RunError: the code of a class is another.
    """
    known = {key: (before[key], value) for key, value in now.items() if key in before}
    changed = [key for key, pair in known.items() if "unknown" not in pair and pair[0] != pair[1]]
    if changed:
        raise RunError(f"the code of the {' and the '.join(changed)} has changed since {since}; {advice}.")


def source_digest(kind: type) -> str | None:
    """A digest of the code that the class consists of; None where there is no source, as in an interactive session."""
    reader = _Reader()
    try:
        pieces = reader.pieces(kind)
    except (OSError, TypeError, SyntaxError, UnicodeDecodeError):
        return None
    if not pieces:
        return None
    text = "\n".join(pieces)
    return hashlib.blake2b(text.encode(), digest_size=LENGTH).hexdigest()


class _Top:
    """The top level of a module: the statements that bind each name."""

    def __init__(self, file: Path, package: str) -> None:
        self.package = package
        self.bindings: dict[str, list[ast.stmt]] = {}
        for statement in ast.parse(file.read_text(encoding="utf-8")).body:
            for name in _bound(statement):
                self.bindings.setdefault(name, []).append(statement)


class _Reader:
    """Follows the names that a class mentions through its own modules."""

    def __init__(self) -> None:
        self._tops: dict[str, _Top | None] = {}
        self._seen: set[tuple[str, str]] = set()

    def pieces(self, kind: type) -> list[str]:
        """The statements that the class depends on, as normalised text, in a fixed order."""
        module, name = kind.__module__, kind.__qualname__.partition(".")[0]
        top = self._top(module)
        if top is None or name not in top.bindings:
            return [_normalised(ast.parse(textwrap.dedent(inspect.getsource(kind))))]
        return list(self._follow(module, name))

    def _follow(self, module: str, name: str) -> Iterator[str]:
        top = self._top(module)
        if (module, name) in self._seen or top is None:
            return
        self._seen.add((module, name))
        if name not in top.bindings:
            for statement in top.bindings.get("*", []):
                if isinstance(statement, ast.ImportFrom):
                    yield from self._follow(_target(statement, top), name)
            return
        for statement in top.bindings[name]:
            yield from self._statement(module, top, name, statement)

    def _statement(self, module: str, top: _Top, name: str, statement: ast.stmt) -> Iterator[str]:
        if isinstance(statement, ast.ImportFrom):
            target = _target(statement, top)
            origin = next((a.name for a in statement.names if (a.asname or a.name) == name), name)
            yield f"{name} = {target}.{origin}"
            yield from self._follow(target, origin)
            return
        if isinstance(statement, ast.Import):
            yield f"{name} = {ast.unparse(statement)}"
            return
        yield _normalised(statement)
        imported = {
            alias.asname or alias.name: alias.name
            for statements in top.bindings.values()
            for one in statements
            if isinstance(one, ast.Import)
            for alias in one.names
        }
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                yield from self._follow(module, node.id)
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in imported:
                yield from self._follow(imported[ast.unparse(node.value)], node.attr)

    def _top(self, module: str) -> _Top | None:
        """The module's top level; None where it is no file of the user's."""
        if module not in self._tops:
            self._tops[module] = None
            loaded = sys.modules.get(module)
            file = getattr(loaded, "__file__", None)
            if file and file.endswith(".py") and Path(file).is_file() and _is_own(Path(file)):
                package = (getattr(loaded, "__package__", None) or module.rpartition(".")[0]) or module
                self._tops[module] = _Top(Path(file), package)
        return self._tops[module]


def _is_own(file: Path) -> bool:
    """Whether a file is the user's: not of genas (a run records its version), of Python, or of an installed package."""
    resolved = file.resolve()
    installed = {"site-packages", "dist-packages"} & set(resolved.parts)
    places = (Path(__file__).resolve().parents[1], Path(sysconfig.get_paths()["stdlib"]).resolve())
    return not installed and not any(resolved.is_relative_to(place) for place in places)


def _target(statement: ast.ImportFrom, top: _Top) -> str:
    """The module that names are imported from."""
    return importlib.util.resolve_name("." * statement.level + (statement.module or ""), top.package)


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a top-level statement gives a meaning to."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name.partition(".")[0]) for alias in statement.names}
    names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(statement):  # definitions inside if and try
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name.partition(".")[0]) for alias in node.names}
    return names


def _normalised(tree: ast.AST) -> str:
    """The code as text without comments, docstrings and formatting."""
    tree = ast.parse(ast.unparse(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
