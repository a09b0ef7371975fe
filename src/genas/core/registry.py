"""One registry for data sets, spaces, proxies and strategies: from a name to a class or an object, and back.

A `Registry` knows the built-in classes of one kind by a table of names, imported at first use, and every other class by
``package.module:Name``:

    SPACES = Registry("space", "genas.spaces.base:Space", {"darts": "genas.spaces.darts.space:DartsSpace"})
    SPACES.find("darts")            # the class; also SPACES.find("my.module:Chain")
    SPACES.make("my.module:Chain", options={"width": 16})
    SPACES.describe(Chain(16))      # ("my.module:Chain", {"width": 16}), from a name, a class or an object

A new built-in class is one file and one line of the table.

A run folder holds names and options, not objects, so every object that a run is given has to be made again from them.
`Recorded` objects know what they were made with, whatever their class does; `options_of` gives it in plain values, and
`check_rebuilt` compares an object with the one that name and options make.
"""

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any, ClassVar, Generic, Self, TypeVar

from genas.core.errors import ConfigError, GenasError, suggest, unknown_name
from genas.core.settings import Settings

T = TypeVar("T")
_ARGUMENTS = "_made_with"
_PATH = ":PATH"


class Recorded:
    """Base of what a user may configure: remembers the arguments of its constructor."""

    surroundings: ClassVar[tuple[str, ...]] = ()
    """Parameters of the constructor that genas gives, such as ``scoring`` of a proxy; a run records the others."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Takes the arguments down; ``__init__`` of the class sees them as always."""
        if cls.__init__ is object.__init__ and (args or kwargs):
            raise TypeError(f"{cls.__name__}() takes no arguments")  # object does not say so once __new__ is defined
        made = super().__new__(cls)
        made.__dict__[_ARGUMENTS] = (args, kwargs)
        return made


def arguments_of(made: Recorded) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the constructor of `made` was given by position and by name."""
    args, kwargs = made.__dict__[_ARGUMENTS]
    return args, kwargs


def options_of(made: Recorded) -> dict[str, Any]:
    """The options that `made` was given, by the names of its constructor's parameters, as plain values.

    Raises:
        ConfigError: a value that a configuration cannot hold, or an argument without a name.
    """
    args, kwargs = arguments_of(made)
    kind = type(made)
    if not args:
        given: dict[str, Any] = dict(kwargs)
    else:
        bound = inspect.signature(kind.__init__).bind(made, *args, **kwargs)
        given = {}
        for place, (name, value) in enumerate(bound.arguments.items()):
            parameter = bound.signature.parameters[name]
            if parameter.kind is parameter.VAR_KEYWORD:
                given |= value
            elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY) and place > 0:
                raise ConfigError(
                    f"{kind.__name__} was given the argument {name!r} by position only, so that a run folder cannot "
                    "record it; give its constructor named parameters."
                )
            elif place > 0:  # the first is the object itself
                given[name] = value
    return {
        name: _plain(value, f"{kind.__name__}: option {name!r}")
        for name, value in given.items()
        if name not in kind.surroundings
    }


def _plain(value: Any, what: str) -> Any:
    """The value as YAML and JSON hold it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(entry, what) for key, entry in value.items()}
    if isinstance(value, Settings):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(entry, what) for entry in value]
    raise ConfigError(
        f"{what} is of type {type(value).__name__}, which a run folder cannot record; expected numbers, text, true or "
        "false, or lists and mappings of these."
    )


def class_path(kind: type) -> str:
    """``package.module:Name`` of a class."""
    return f"{kind.__module__}:{kind.__qualname__}"


def load_class(name: str, kind: type) -> type[Any]:
    """The class ``package.module:Name``, a concrete subclass of `kind`.

    The module is looked for where Python looks, and in the working directory.

    Raises:
        ConfigError: there is no such module, importing it fails, or it has no such class. The sentence says which.
    """
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in attribute.split(".")) or not all(module_name.split(".")):
        raise ConfigError(f"{name!r} cannot be imported; expected package.module:Name.")
    found: Any = import_module(module_name, name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ConfigError(_lacking(name, found, part))
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise ConfigError(f"{name!r} is not a subclass of genas.{kind.__name__}.")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))  # type: ignore[attr-defined]
        raise ConfigError(f"{name!r} cannot be used: it does not define {missing}, which every {kind.__name__} has.")
    return found


def import_module(module: str, name: str) -> ModuleType:
    """Imports a module that a user named, the working directory being on the path.

    Args:
        module: its name.
        name: the text that named it, for the message.

    Raises:
        ConfigError: it is not there, or importing it fails.
    """
    place = os.getcwd()
    if place not in sys.path and "" not in sys.path:
        sys.path.append(place)  # at the end: a file beside the user never replaces an installed package
        importlib.invalidate_caches()
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module == missing or module.startswith(f"{missing}."):
            raise ConfigError(
                f"{name!r} cannot be imported: there is no module {missing!r} in the working directory {place}, on "
                "PYTHONPATH or among the installed packages."
            ) from error
        raise ConfigError(_failed(name, module, error)) from error
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        if isinstance(error, MemoryError):
            raise
        raise ConfigError(_failed(name, module, error)) from error


def _failed(name: str, module: str, error: BaseException) -> str:
    return f"{name!r} cannot be imported: importing {module} failed with {blame(error)}."


def blame(error: BaseException) -> str:
    """The error in words, and the last line of code outside genas and its packages that it passed through."""
    said = " ".join(str(error).split())
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    own = Path(__file__).resolve().parents[1]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if "site-packages" in path.parts or frame.filename.startswith("<") or path.is_relative_to(sys.base_prefix):
            continue
        if path.resolve().is_relative_to(own):
            continue
        return f"{text.rstrip('.')} ({frame.filename}, line {frame.lineno})"
    return text.rstrip(".")


def _lacking(name: str, found: Any, part: str) -> str:
    if isinstance(found, ModuleType) and found.__name__ == "__main__":
        return (
            f"{name!r} cannot be imported: it was defined in a script or notebook, which is not what is running now; "
            f"move {part} to a module, and name it there in a new run."
        )
    if isinstance(found, ModuleType):
        where = f"the module {found.__name__!r} ({getattr(found, '__file__', None) or 'built in'})"
        local = Path.cwd() / f"{found.__name__}.py"
        if local.is_file() and Path(getattr(found, "__file__", None) or "").resolve() != local.resolve():
            return f"{name!r} cannot be imported: {where} has no {part!r} and hides {local}; rename that file."
    else:
        where = f"{found!r}"
    return f"{name!r} cannot be imported: {where} has no {part!r}.{suggest(part, dir(found))}"


def make(name: str, found: type[Any], *args: Any, options: Mapping[str, Any]) -> Any:
    """An object of the class `found`, called `name`, with `options`.

    Raises:
        ConfigError: the constructor does not take them, or fails.
    """
    try:
        if found.__init__ is object.__init__ and options:
            raise TypeError(f"got an unexpected keyword argument {next(iter(options))!r}")
        inspect.signature(found.__init__).bind(None, *args, **options)
    except TypeError as error:
        taken = [key for key in parameters_of(found) if key != "self"][len(args) :]
        known = f"known are {', '.join(taken)}" if taken else "it has none"
        raise ConfigError(f"{name!r} does not take these options ({error}); {known}.") from error
    try:
        return found(*args, **options)
    except GenasError:
        raise
    except Exception as error:  # a user's constructor may raise anything
        said = ", ".join(f"{key}={value!r}" for key, value in options.items()) or "no options"
        raise ConfigError(f"{name!r} cannot be made with {said}: {blame(error)}.") from error


def parameters_of(kind: type) -> list[str]:
    """The names of the parameters of a class's constructor, with ``self``; none where it has no constructor."""
    init = inspect.getattr_static(kind, "__init__")
    return [] if init is object.__init__ else list(inspect.signature(init).parameters)


def check_rebuilt(name: str, made: object, again: object) -> None:
    """Compares an object with the one that its recorded name and options make, by class and plain attributes.

    Raises:
        ConfigError: they differ.
    """
    if type(made) is not type(again):
        raise ConfigError(
            f"{name!r} cannot be recorded: its description makes a {type(again).__name__}, not a {type(made).__name__}."
        )
    before, after = _attributes(made), _attributes(again)
    for key in before.keys() | after.keys():
        if before.get(key) != after.get(key):
            raise ConfigError(
                f"{name!r} cannot be recorded: made again from its options, its {key} is {after.get(key)!r}, not "
                f"{before.get(key)!r}; pass everything that it depends on to its constructor."
            )


def _attributes(thing: object) -> dict[str, Any]:
    found = {}
    for key, value in vars(thing).items():
        if key == _ARGUMENTS:
            continue
        try:
            found[key] = _plain(value, key)
        except ConfigError:
            continue  # tensors and other objects: what they do is compared where it can be
    return found


class Registry(Generic[T]):
    """The built-in classes of one kind by name, and every other class by ``package.module:Name``.

    A name of the table that ends in ``:PATH``, such as ``folder:PATH``, stands for all names that begin so; what
    comes after the colon is the user's.

    Args:
        word: what one of them is called in messages and in the configuration, such as ``space``.
        kind: the base class of all, as ``module:Class``, so that its module may import the registry.
        table: name to ``module:Class``; the modules are imported at first use.
    """

    def __init__(self, word: str, kind: str, table: Mapping[str, str]) -> None:
        self.word, self.table, self._kind = word, dict(table), kind

    @property
    def kind(self) -> type[Any]:
        """The base class of all."""
        module, _, name = self._kind.partition(":")
        found: type[Any] = getattr(importlib.import_module(module), name)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the table."""
        return tuple(self.table)

    def entry(self, name: str) -> str | None:
        """The entry of the table that a name belongs to: itself or ``...:PATH``; None for other names."""
        path = name.partition(":")[0] + _PATH
        found = path if ":" in name and path in self.table else name
        return found if found in self.table else None

    def path_in(self, name: str) -> str | None:
        """What stands in place of PATH in a name that belongs to such an entry; None for other names."""
        return name.partition(":")[2] if (self.entry(name) or "").endswith(_PATH) else None

    def is_custom(self, name: str) -> bool:
        """Whether a name is that of a user's class, ``package.module:Name``."""
        return ":" in name and self.entry(name) is None

    def check(self, name: str) -> None:
        """Refuses what is neither in the table nor has the form ``package.module:Name``; imports nothing.

        Raises:
            ConfigError: it is not; the known names and the likely one are told.
        """
        if self.entry(name) is None and ":" not in name:
            raise unknown_name(self.word, name, [*self.table, "package.module:Name"])

    def find(self, name: str) -> type[T]:
        """The class of a name.

        Raises:
            ConfigError: an unknown name, or a class that cannot be imported, is abstract or of another kind.
        """
        self.check(name)
        entry = self.entry(name)
        if entry is None:
            return load_class(name, self.kind)
        module, _, attribute = self.table[entry].partition(":")
        found: type[T] = getattr(importlib.import_module(module), attribute)  # not from the working directory
        return found

    def make(self, name: str, *args: Any, options: Mapping[str, Any]) -> T:
        """An object of the class `name`.

        Raises:
            ConfigError: see `find`; or the constructor does not take the options, or fails.
        """
        made: T = make(name, self.find(name), *args, options=options)
        return made

    def name_of(self, kind: type) -> str:
        """The name of a class in the table; ``package.module:Name`` of others."""
        path = class_path(kind)
        return next((name for name, place in self.table.items() if place == path), path)

    def describe(self, thing: object) -> tuple[str, dict[str, Any]]:
        """Name and options of what a Python program passed, see `name_given`.

        Raises:
            ConfigError: see `name_given`; or an option that a run folder cannot record.
        """
        return self.name_given(thing), options_of(thing) if isinstance(thing, Recorded) else {}

    def name_given(self, thing: object) -> str:
        """The name for what a Python program passed: a name, a class, or an object of one.

        Raises:
            ConfigError: it is something else, or a later command could not find the class.
        """
        if isinstance(thing, str):
            return thing
        found = thing if isinstance(thing, type) else type(thing)
        if not issubclass(found, self.kind):
            kind = f"genas.{self.kind.__name__}"
            raise ConfigError(f"{self.word} is {thing!r}; expected a name, a subclass of {kind} or an object of one.")
        name = self.name_of(found)
        if name not in self.table:
            _check_found_again(self.word, name, found, self.kind)
        return name


def _check_found_again(word: str, name: str, found: type, kind: type) -> None:
    """Refuses a class that its ``package.module:Name`` does not lead back to.

    Raises:
        ConfigError: it does not.
    """
    if "<locals>" in name or "<lambda>" in name:
        raise ConfigError(
            f"{word}: {found.__qualname__} is defined inside a function, so that a later command cannot find it; "
            "move it to the top level of a module."
        )
    if found.__module__ == "__main__":
        warnings.warn(
            f"{word}: {found.__qualname__} is defined in the script or notebook itself, so that only it can continue "
            "the run; move the class to a module to use the other commands of genas on it.",
            stacklevel=5,
        )
    if load_class(name, kind) is not found:
        raise ConfigError(
            f"{word}: {name!r} is now another class than the one that was given; import it again, or give the name."
        )
