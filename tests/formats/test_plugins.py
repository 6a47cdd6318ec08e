"""Files and classes of a user's own: names that they register, and what is refused."""

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from anda_codesign.formats import AndaFormat, InputError, plugins
from anda_codesign.formats.activations.registry import activation_format, activation_format_modes, activation_formats
from anda_codesign.formats.named_format import NamedFormat
from anda_codesign.formats.plugins import (
    load_plugin,
    load_plugins,
    loaded_plugins,
    register,
    registered,
    source_sha256,
)
from anda_codesign.formats.weight_registry import weight_quantizer
from anda_codesign.formats.weights.grouped_int import RoundToNearest

MINE = """
from anda_codesign import register
from anda_codesign.formats import AndaFormat

class Mine(AndaFormat):
    name = "mine"

register(Mine{modes})
"""


@pytest.fixture(autouse=True)
def no_plugins() -> Iterator[None]:
    yield
    load_plugins(())


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "own.py"
        path.write_text(text)
        return path

    return write


def own() -> list[tuple[str, str]]:
    return [(entry.kind, entry.name) for entry in registered() if entry.origin != "built in"]


def test_a_file_registers_a_format(write: Callable[[str], Path]):
    file = write(MINE.format(modes=", [{'mantissa_bits': 3}]"))
    load_plugin(file)
    assert activation_format("mine", mantissa_bits=3).bits_per_value == AndaFormat(mantissa_bits=3).bits_per_value
    assert [fmt.parameters["mantissa_bits"] for fmt in activation_format_modes("mine")] == [3]
    (entry,) = [entry for entry in registered() if entry.name == "mine"]
    assert entry.origin == str(file)
    assert entry.sha256 is not None


def test_a_format_whose_parameters_have_no_defaults_is_in_no_list(write: Callable[[str], Path]):
    load_plugin(write(MINE.format(modes="")))
    assert activation_format_modes("mine") == []


def test_a_changed_file_replaces_its_names_and_has_another_hash(write: Callable[[str], Path]):
    load_plugin(write(MINE.format(modes="")))
    before = source_sha256(type(activation_format("mine", mantissa_bits=3)))
    load_plugin(write(MINE.format(modes="") + "# changed"))
    assert own() == [("activation", "mine")]
    assert source_sha256(type(activation_format("mine", mantissa_bits=3))) != before


def test_a_changed_file_that_fails_leaves_what_was_there(write: Callable[[str], Path]):
    load_plugin(write(MINE.format(modes="")))
    before = type(activation_format("mine", mantissa_bits=3))
    file = write(MINE.format(modes="") + "1 / 0")
    assert refusal(lambda: load_plugin(file)).startswith("plugin: ")
    assert type(activation_format("mine", mantissa_bits=3)) is before
    assert own() == [("activation", "mine")]


def test_another_process_gets_the_text_and_not_the_file(write: Callable[[str], Path]):
    file = write(MINE.format(modes=""))
    load_plugin(file)
    plugins = loaded_plugins()
    load_plugins(())
    file.unlink()
    assert own() == []
    load_plugins(plugins)
    assert own() == [("activation", "mine")]


def test_classes_registered_in_python():
    class Method(RoundToNearest):
        name = "my-method"

    assert register(Method) is Method
    assert own() == [("weight", "my-method")]
    assert weight_quantizer("my-method", bits=4).quantize is not None
    assert source_sha256(AndaFormat) is None
    assert source_sha256(Method) is not None


class Named(AndaFormat):
    name = "named"


def test_a_worker_imports_a_class_registered_in_python():
    register(Named)
    plugins = loaded_plugins()
    load_plugins(())
    load_plugins(plugins)
    assert own() == [("activation", "named")]


def test_a_class_that_workers_cannot_import():
    register(type("InANotebook", (AndaFormat,), {"name": "in-a-notebook", "__module__": "__main__"}))
    assert refusal(loaded_plugins).startswith("workers: InANotebook is defined in the program that runs")


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as error:
        call()
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise SystemExit(0)", "it ends the program"),
        ("import sys; sys.exit(7)", "it ends the program"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: invalid syntax (own.py, line 1)"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = 1", "it registers nothing; call anda_codesign.register with a class of yours"),
        (MINE.format(modes="") + "1 / 0", "ZeroDivisionError: division by zero"),
        (
            MINE.format(modes="").replace('"mine"', '"fp16"'),
            "name: 'fp16' is already the name of a registered activation",
        ),
        (MINE.format(modes="").replace('"mine"', '"a b"'), "name: 'a b' is no name; use letters, digits and hyphens"),
        ("import anda_codesign as a\na.register(int)", "register: int is no format; give a class with all members of"),
        ("import anda_codesign as a\na.register(3)", "register: 3 is no format; give a class with all members of one"),
    ],
)
def test_files_that_are_refused_leave_nothing(write: Callable[[str], Path], text: str, reason: str):
    file = write(text)
    names = activation_formats()
    message = refusal(lambda: load_plugin(file)).replace(str(file), "own.py")
    assert message.startswith(f"plugin: own.py cannot be loaded ({reason}")
    assert "\n" not in message
    assert activation_formats() == names
    assert loaded_plugins() == ()


def test_a_file_that_is_not_there(tmp_path: Path):
    assert refusal(lambda: load_plugin(tmp_path / "x.py")).endswith("(No such file or directory); name a Python file")


def entry_point(monkeypatch: pytest.MonkeyPatch, text: str, tmp_path: Path) -> None:
    """An installed package with a plugin, whose module has this text."""
    (tmp_path / "my_package.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_package", raising=False)
    point = EntryPoint("mine", "my_package:Mine", plugins.ENTRY_POINTS)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group == point.group else [])
    plugins.load_entry_points.cache_clear()


def test_an_installed_package_registers_a_format(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    text = MINE.format(modes="").replace("register(Mine)", "")
    entry_point(monkeypatch, text, tmp_path)
    assert NamedFormat.parse("mine mantissa_bits=3").build().bits_per_value == AndaFormat(3).bits_per_value
    (entry,) = [entry for entry in registered() if entry.name == "mine"]
    assert entry.origin == str(tmp_path / "my_package.py")
    assert entry.sha256 is not None
    kept = loaded_plugins()
    load_plugins(())
    load_plugins(kept)  # as a worker does
    assert own() == [("activation", "mine")]


def test_an_installed_package_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    entry_point(monkeypatch, "raise SystemExit(3)", tmp_path)
    message = refusal(lambda: list(registered()))
    assert message.startswith("plugin: entry point mine (my_package:Mine) cannot be loaded (it ends the program)")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [])
    plugins.load_entry_points.cache_clear()
