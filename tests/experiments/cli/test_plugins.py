"""Code runs only from files that the user names: ``--plugin FILE``. Data files run none."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anda_codesign.formats.plugins import load_plugins, registered
from messages import Refused

MINE = """
from anda_codesign import register
from anda_codesign.formats import AndaFormat

class Mine(AndaFormat):
    name = "mine"

register(Mine, [{"mantissa_bits": 3}])
"""
COMMANDS = {
    "sweep": ("no-file.yaml", "--out", "out"),
    "formats compare": ("--trace", "no-file"),
    "quantize": ("--method", "rtn"),
    "plugins": (),
    "report": ("--out", "out"),
    "simulate": (),
    "explain": (),
}


@pytest.fixture(autouse=True)
def no_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    load_plugins(())


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("text", "reason"), [("raise SystemExit(0)", "ends the program"), ("import nowhere", "nowhere")]
)
def test_a_plugin_that_fails_is_one_line(refused: Refused, tmp_path: Path, command: str, text: str, reason: str):
    (tmp_path / "mine.py").write_text(text)
    message = refused(*command.split(), *COMMANDS[command], "--plugin", "mine.py")
    assert message.startswith(f"plugin: {tmp_path}/mine.py cannot be loaded (")
    assert reason in message


def test_plugins_are_listed_with_their_file(anda: Callable[..., Any], tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    answer = anda("plugins", "--plugin", file, "--json", "-")
    listed = {(entry["kind"], entry["name"]): entry for entry in json.loads(answer.out)}
    assert listed["activation", "mine"]["origin"] == str(file)
    assert len(listed["activation", "mine"]["sha256"]) == 64
    assert listed["activation", "anda"] == {"kind": "activation", "name": "anda", "origin": "built in", "sha256": None}
    assert ("weight", "gptq") in listed
    assert str(file)[-20:] in anda("plugins", "--plugin", file).out


SWEEP = """
models: OPT-125M
archs: fp-int
tokens: 16
evaluation: {blocks: 2}
formats: %s
"""


@pytest.mark.parametrize(
    "text",
    ["subprocess:Popen args=x", "witness:Anything", "os:system", "anda_codesign.formats:AndaFormat", "mine:Mine"],
)
def test_a_sweep_file_runs_no_code(refused: Refused, tmp_path: Path, text: str):
    for name in ("witness", "mine"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').close()")
    (tmp_path / "sweep.yaml").write_text(SWEEP % json.dumps(text))
    assert refused("sweep", "sweep.yaml", "--out", "out").startswith(
        f"formats: {text.split()[0]!r} names a module, and data files run no code; register the class in a file"
    )
    assert not (tmp_path / "ran").exists()


def test_a_sweep_file_cannot_name_a_plugin(refused: Refused, tmp_path: Path):
    (tmp_path / "mine.py").write_text("open('ran', 'w').close()")
    (tmp_path / "sweep.yaml").write_text(SWEEP % "fp16" + "plugin: mine.py\n")
    assert "plugin" in refused("sweep", "sweep.yaml", "--out", "out")
    assert not (tmp_path / "ran").exists()


def test_a_format_that_ends_the_program_does_not_set_our_status(refused: Refused, tmp_path: Path):
    ends = "raise SystemExit(0)"
    (tmp_path / "mine.py").write_text(MINE + f"    \nMine.__post_init__ = lambda self: exec({ends!r})\n")
    (tmp_path / "sweep.yaml").write_text(SWEEP % "mine mantissa_bits=3")
    message = refused("sweep", "sweep.yaml", "--out", "out", "--plugin", "mine.py")
    assert message == "plugin: code that the command ran ended the program; remove sys.exit from it"


ELEMENT = """
from anda_codesign import register


@register
class Mine:
    name, source = "mine", "a test"
    lanes, weight_operand, mantissa_bits, cycles_per_group = 64, "int", 8, "mantissa_bits / 2"
    energy_per_cycle = {"relative_to": "figna", "value": 0.5}
"""


@pytest.mark.parametrize("command", ["simulate", "explain"])
def test_a_machine_takes_a_registered_element(anda: Callable[..., Any], refused: Refused, tmp_path: Path, command: str):
    (tmp_path / "mine.py").write_text(ELEMENT)
    (tmp_path / "machine.yaml").write_text("base: figna\nprocessing_element: mine\n")
    arguments = (command, "--arch", tmp_path / "machine.yaml", "--model", "OPT-125M", "--tokens", "16")
    assert anda(*arguments, "--plugin", tmp_path / "mine.py").status == 0
    assert ("element", "mine") in {(found.kind, found.name) for found in registered()}
    load_plugins(())
    assert "'mine' is no YAML file and not registered" in refused(*arguments)
