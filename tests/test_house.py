"""The house: rooms import only the rooms below them and have no circles, folders stay small, no class name stands in two rooms."""

import ast
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
BELOW = {
    "formats": set[str](),
    "workloads": {"formats"},
    "rtl": {"formats", "workloads"},
    "sim": {"formats", "workloads"},
    "experiments": {"formats", "workloads", "rtl", "sim"},
}
"""Rooms that each room may import."""

MOST_FILES = 13
"""Python files of a folder, with its ``__init__``."""


@cache
def modules() -> dict[str, Path]:
    """Files of all modules, by names such as ``rtl.array.mxu``; a package is named without ``__init__``."""
    paths = [path for room in BELOW for path in sorted((ROOT / room).rglob("*.py"))]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def data_files() -> Iterator[Path]:
    """Files of the rooms that are installed beside their modules."""
    kinds = {".yaml", ".json", ".csv", ".cfg", ".html", ".js", ".cpp", ".v", ".vlt"}
    return (path for room in BELOW for path in (ROOT / room).rglob("*.*") if path.suffix in kinds)


@cache
def imports() -> dict[str, set[str]]:
    """Modules of the house that each module imports, also in functions and for type checkers only."""
    return {name: set(imported(path)) - {name} for name, path in modules().items()}


def imported(path: Path) -> Iterator[str]:
    folder = ["anda_codesign", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (inside(alias.name) for alias in node.names if is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            parts = folder[: len(folder) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            for alias in node.names if is_ours(base) else ():
                name = inside(f"{base}.{alias.name}")
                yield name if name in modules() else inside(base)


def is_ours(name: str) -> bool:
    return name.partition(".")[0] == "anda_codesign"


def inside(name: str) -> str:
    """Name within the package; empty for the package itself."""
    return name.partition(".")[2]


def room(name: str) -> str:
    return name.partition(".")[0]


def wing(name: str) -> str:
    """Folder of a module. A module that lies directly in its room is a wing of its own."""
    folder = ".".join(modules()[name].relative_to(ROOT).parts[:-1])
    return folder if "." in folder else name


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_folders_have_few_files() -> None:
    files = Counter(str(path.parent.relative_to(ROOT)) for path in modules().values())
    assert {folder: count for folder, count in files.items() if count > MOST_FILES} == {}


def test_every_folder_is_installed() -> None:
    """Folders of modules and of data, and packages in pyproject.toml; those of modules have an ``__init__``."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    folders = {".".join(path.relative_to(ROOT).parts[:-1]) for path in modules().values()}
    packages = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert folders - packages == set()
    data = {".".join(path.relative_to(ROOT).parts[:-1]) for path in data_files()}
    assert {f"anda_codesign.{name}" for name in folders | data} - set(listed) == set()


def test_rooms_import_only_the_rooms_below() -> None:
    wrong = {
        (name, target)
        for name, targets in imports().items()
        for target in targets
        if room(target) not in BELOW[room(name)] | {room(name)}
    }
    assert wrong == set()


def test_modules_import_each_other_without_a_circle() -> None:
    assert circle(imports()) == []


def test_wings_import_each_other_without_a_circle() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for name, targets in imports().items():
        if modules()[name].name != "__init__.py":
            graph[wing(name)] |= {wing(target) for target in targets if room(target) == room(name)} - {wing(name)}
    assert circle(graph) == []


def test_no_module_imports_a_package_that_it_lies_in() -> None:
    assert {
        (name, target)
        for name, targets in imports().items()
        for target in targets
        if f"{name}.".startswith(f"{target}.")
    } == set()


def test_the_simulator_reads_no_file_of_the_experiments() -> None:
    """Strings of `sim` other than docstrings name no path in experiments/."""
    wrong = {
        (name, node.value)
        for name, path in modules().items()
        if room(name) == "sim"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("experiments")
    }
    assert wrong == set()


def test_no_two_rooms_define_the_same_public_class() -> None:
    places: dict[str, set[str]] = defaultdict(set)
    for name, path in modules().items():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].add(room(name))
    assert {name: rooms for name, rooms in places.items() if len(rooms) > 1} == {}
