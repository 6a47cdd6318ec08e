"""Formats of a user's own: `register` adds a class under its name, `load_plugin` runs a file that registers some.

Data files (sweeps, reports, architectures) can only use names that are registered. The files that register names are named by
a person: on the command line with ``--plugin FILE``, or in Python.
"""

from __future__ import annotations

import hashlib
import inspect
import secrets
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from .activations.registry import registry as activation_formats
from .errors import InputError
from .metrics import metrics
from .own_classes import is_built_in
from .processing_elements.registry import elements
from .registry import Modes, Registry
from .weight_registry import methods, packed_formats

Class = TypeVar("Class", bound=type)

ENTRY_POINTS = "anda_codesign.plugins"
"""Group of the entry points of installed packages that register classes."""

KINDS: dict[str, tuple[Registry[Any], tuple[str, ...]]] = {
    "activation": (
        activation_formats,
        ("name", "source", "parameters", "bits_per_value", "cycles_per_group", "encode"),
    ),
    "weight": (methods, ("name", "source", "parameters", "statistic", "average_bits", "quantize")),
    "element": (elements, ("name", "source", "lanes", "weight_operand", "mantissa_bits", "cycles_per_group")),
    "packed": (packed_formats, ("name", "source", "bits_per_weight", "pack", "unpack", "decode")),
    "metric": (metrics, ("name", "source", "measure")),
}
"""Registry of each kind of class, and the members of its protocol."""


class Registered(NamedTuple):
    """A registered class.

    Attributes
    ----------
    kind
        ``activation`` (formats), ``weight`` (quantisation methods), ``element`` (processing elements), ``packed`` (weights
        in a packed format) or ``metric`` (columns of sweeps).
    name
        Name in data files and on the command line.
    origin
        File that registers it, its module where it has no file, or ``built in``.
    sha256
        Hash of its source; None if it is built in.
    """

    kind: str
    name: str
    origin: str
    sha256: str | None


@dataclass(frozen=True)
class PluginFile:
    """A file of a user's own, as it was read; `load` runs it.

    Attributes
    ----------
    path
        Its path, for messages.
    source
        Its text, so that workers on other machines run the same.
    """

    path: str
    source: bytes

    @property
    def module(self) -> str:
        """Name of its module, which depends on the source."""
        return f"anda_plugin_{Path(self.path).stem}_{self.sha256[:16]}"

    @property
    def sha256(self) -> str:
        """Hash of the source."""
        return hashlib.sha256(self.source).hexdigest()

    def load(self) -> None:
        """Run the file, unless it is loaded.

        Raises
        ------
        InputError
            It fails in any way, ends the program, or registers nothing.
        """
        if self in _files:
            return
        before, entries = dict(_own), [registry.entries() for registry, _ in KINDS.values()]
        module = sys.modules[self.module] = ModuleType(self.module)
        module.__file__ = self.path
        _files.append(self)
        try:
            exec(compile(self.source, self.path, "exec"), vars(module))
            if _own == before:
                raise InputError("it registers nothing; call anda_codesign.register with a class of yours")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the file may do anything; SystemExit must not become our exit status
            _files.remove(self)
            del sys.modules[self.module]
            for (registry, _), kept in zip(KINDS.values(), entries, strict=True):
                registry.restore(kept)
            _own.clear()
            _own.update(before)
            raise InputError(f"plugin: {self.path} cannot be loaded ({_reason(error)}); fix the file") from None
        _files[:] = [plugin for plugin in _files if plugin is self or plugin.path != self.path]


@dataclass(frozen=True)
class ImportedClass:
    """A class that a program registered, by the name under which workers import it."""

    module: str
    name: str

    def load(self) -> None:
        """Import and register the class; raises `InputError` if that fails."""
        try:
            found: Any = import_module(self.module)
            for part in self.name.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            raise InputError(f"plugin: {self.module}.{self.name} cannot be imported by a worker ({error})") from None
        register(found)


Plugin = PluginFile | ImportedClass

_files: list[PluginFile] = []
_own: dict[tuple[str, str], type] = {}
"""Classes that are not built in, by kind and name."""
_tokens: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def register(added: Class, modes: Modes | None = None) -> Class:
    """Register a class of your own under its ``name``: a format, a method or packed format of weights, an element, a metric.

    Parameters
    ----------
    added
        The class. Its members say what it is; see `ActivationFormat`, `WeightQuantizer`, `PackedWeights` and `Metric`.
    modes
        Parameters of each setting that lists and comparisons show; None for that with all defaults, if there is one.

    Returns
    -------
    type
        The class, so that ``register`` can be a decorator.

    Raises
    ------
    InputError
        It is no such class, its name is no single word, or another class has the name.
    """
    kind = _kind(added)
    name: Any = getattr(added, "name")  # noqa: B009
    if not isinstance(name, str) or not name or not all(part.isalnum() for part in name.replace("_", "-").split("-")):
        raise InputError(f"name: {name!r} is no name; use letters, digits and hyphens")
    registry, _ = KINDS[kind]
    present = _own.get((kind, name))
    if present is not None and _origin(present) == _origin(added):
        registry.remove(name)
    registry.register(added, _default_modes(added) if modes is None else modes)
    _own[kind, name] = added
    return added


def load_plugin(path: Path | str) -> None:
    """Run a Python file that registers formats of your own.

    The file stands alone: it can import installed packages, but no file beside it.

    Raises
    ------
    InputError
        It cannot be read, fails in any way, or registers nothing.
    """
    try:
        plugin = PluginFile(str(Path(path).absolute()), Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"plugin: {path} cannot be read ({error.strerror}); name a Python file") from None
    plugin.load()


def plugin_files() -> list[str]:
    """Paths of the plugin files that this process has loaded."""
    return [plugin.path for plugin in _files]


@cache
def load_entry_points() -> None:
    """Load the plugins that are installed as packages, once: classes and modules under the entry points `ENTRY_POINTS`.

    Raises
    ------
    InputError
        One fails in any way.
    """
    for point in entry_points(group=ENTRY_POINTS):
        try:
            found = point.load()
            if isinstance(found, type) and found not in _own.values():
                register(found)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a package may do anything; SystemExit must not become our exit status
            raise InputError(
                f"plugin: entry point {point.name} ({point.value}) cannot be loaded ({_reason(error)}); fix or uninstall its package"
            ) from None


def loaded_plugins() -> tuple[Plugin, ...]:
    """All plugins of this process, for its workers.

    Raises
    ------
    InputError
        A registered class has no file that a worker could load.
    """
    plugins = _present()
    for plugin in plugins:
        if isinstance(plugin, ImportedClass) and plugin.module == "__main__":
            raise InputError(
                f"workers: {plugin.name} is defined in the program that runs, which workers cannot import; write it into a "
                "file and load that with load_plugin, or use one worker"
            )
    return plugins


def load_plugins(plugins: Iterable[Plugin]) -> None:
    """Make the plugins of another process, and no others, those of this one."""
    wanted = tuple(plugins)
    if wanted == _present():
        return
    for key in list(_own):
        _remove(*key)
    _files.clear()
    for plugin in wanted:
        plugin.load()


def registered() -> Iterator[Registered]:
    """All registered classes, built in or not; those of installed packages, too."""
    load_entry_points()
    for kind, (registry, _) in KINDS.items():
        for name in registry.names():
            own = _own.get((kind, name))
            yield Registered(kind, name, "built in" if own is None else _origin(own), own and source_sha256(own))


def source_sha256(kind: type) -> str | None:
    """Hash of the files that define a class and its bases; None if they all belong to this package or to Python.

    Keys of caches hold it. A class without a file, as in a notebook, gets a hash of its own in every process.
    """
    own = [base for base in kind.__mro__ if not _is_known(base)]
    if not own:
        return None
    return hashlib.sha256("".join(map(_class_sha256, own)).encode()).hexdigest()


def plugin_sources() -> dict[str, str]:
    """The sha256 of each plugin file that this process has loaded, and of the source of other registered classes, by origin."""
    classes = {entry.origin: entry.sha256 for entry in registered() if entry.sha256 is not None}
    return classes | {plugin.path: plugin.sha256 for plugin in _files}


def _present() -> tuple[Plugin, ...]:
    in_files = {plugin.module for plugin in _files}
    own = (added for added in _own.values() if added.__module__ not in in_files)
    return (*_files, *(ImportedClass(added.__module__, added.__qualname__) for added in own))


def _is_known(kind: type) -> bool:
    """True for a class of this package or of Python."""
    return is_built_in(kind) or kind.__module__.partition(".")[0] in sys.stdlib_module_names


def _class_sha256(kind: type) -> str:
    for plugin in _files:
        if plugin.module == kind.__module__:
            return plugin.sha256
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file is not None and Path(file).is_file():
        return _file_sha256(file)
    return _tokens.setdefault(kind, secrets.token_hex())


@cache
def _file_sha256(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _origin(kind: type) -> str:
    """File of a class, or its module."""
    return getattr(sys.modules.get(kind.__module__), "__file__", None) or kind.__module__


def _kind(added: Any) -> str:
    if isinstance(added, type):
        for kind, (_, members) in KINDS.items():
            if all(hasattr(added, member) for member in members):
                return kind
    wanted = "; or ".join(f"{kind}: {', '.join(members)}" for kind, (_, members) in KINDS.items())
    shown = getattr(added, "__name__", repr(added))
    raise InputError(f"register: {shown} is no format; give a class with all members of one kind ({wanted})")


def _default_modes(added: type) -> Modes:
    """The setting with all defaults, if every parameter has one."""
    parameters = inspect.signature(added).parameters.values()
    return ({},) if all(parameter.default is not parameter.empty for parameter in parameters) else ()


def _remove(kind: str, name: str) -> None:
    KINDS[kind][0].remove(name)
    del _own[kind, name]


def _reason(error: BaseException) -> str:
    """An error in one line, with the line of the plugin where it has one."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, SystemExit):
        return "it ends the program"
    return f"{type(error).__name__}: {error}"
