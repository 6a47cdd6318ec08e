"""`anda rtl synth`: output, files, errors, and continuation after it was killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from anda_codesign.experiments.cli import main
from anda_codesign.rtl import create_design
from anda_codesign.rtl.synthesis import load_operands
from anda_codesign.rtl.synthesis.flow import map_design, output_load_ff
from anda_codesign.rtl.synthesis.netlist.netlist import Netlist, NetlistPort
from anda_codesign.rtl.synthesis.netlist.power import Activity, EnergyModel
from anda_codesign.rtl.synthesis.netlist.timing import analyze_timing
from anda_codesign.rtl.synthesis.report import OSU018

from .synthesis_cases import operands, osu018, save_trace, without

pytestmark = [pytest.mark.osu018]


@pytest.fixture(autouse=True)
def few_operands(monkeypatch: pytest.MonkeyPatch) -> None:
    def few(path: Path | None) -> Any:
        return operands() if path is None else load_operands(path)

    monkeypatch.setattr("anda_codesign.rtl.synthesis.load_operands", few)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Error line of a command that fails and prints nothing else."""
    assert main(["rtl", "synth", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = [line for line in printed.err.splitlines() if "synthesis in" not in line]
    return line.removeprefix("anda: error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "design: there is no 'nope'; choose one of "),
        (["matrix-engine"], "design: matrix-engine has no stimulus (MatrixEngine); choose another circuit, such as anda-pe"),
        (["--parameter", "lanes"], "parameter: 'lanes' is not a parameter"),
        (["--clock-ps", "fast"], "clock_ps: 'fast' is not a list of numbers; "),
        (["--clock-ps", "0"], "clock_ps: 0.0 is not valid; choose a number from 1 to 1e+07"),
        (["--liberty", "/no.lib"], "liberty: /no.lib cannot be read (No such file or directory); give a readable Liberty file"),
        (["anda-pe", "x.lib"], "liberty: x.lib follows no --liberty; write --liberty x.lib"),
        (["x.lib", "--liberty", "y.lib"], "design: x.lib is a Liberty file; name the circuit before --liberty"),
        (["--all", "--parameter", "lanes=8"], "parameter: it applies to a single circuit"),
        (["--trace", "/no.safetensors"], "trace: /no.safetensors does not exist; capture one with `anda trace capture`"),
        (["--workers", "0"], "workers: 0 "),
        (["--all", "--saif", "x.saif"], "saif: it needs a single circuit and a single clock"),
        (["--clock-ps", "9000,8000", "--netlist", "x.v"], "netlist: it needs a single circuit and a single clock"),
        (["--saif", "/no/x.saif"], "saif: there is no folder /no; make it or name another file"),
        (["--clock-ps", "20000", "--m", "4,5", "--saif", "x.saif"], "saif: anda-pe has 2 runs"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert refused(capsys, *arguments).startswith(message)


def few_cells(folder: Path) -> Path:
    """Library with a four-input AND-OR-invert as its only logic cell, which ABC cannot use as an inverter."""
    kept = ("AOI22X1", "INVX1", "BUFX2", "DFFPOSX1")
    return without(folder, *(name for name in osu018().cell_names if name not in kept))


def damaged(folder: Path) -> Path:
    """Truncated library."""
    path = folder / "damaged.lib"
    path.write_text(OSU018.read_text()[:100_000])
    return path


def without_flip_flops(folder: Path) -> Path:
    return without(folder, "DFFPOSX1", "DFFNEGX1", "DFFSR")


@pytest.mark.parametrize(
    ("library", "message"),
    [
        (damaged, "liberty: {} is damaged (+4 open braces at its end); give the whole file"),
        (without_flip_flops, "liberty: osu018_stdcells has no usable flip-flop; give all files of the library"),
        (few_cells, "design: cannot be mapped to the cells of osu018_stdcells; give all files of the library"),
    ],
)
def test_unusable_libraries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], library: Callable[[Path], Path], message: str
) -> None:
    path = library(tmp_path)
    assert refused(capsys, "fp32-to-fp16", "--clock-ps", "20000", "--liberty", str(path)) == message.format(path)


def test_a_clock_that_is_not_kept(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "fp32-to-fp16", "--clock-ps", "100")
    needs = int(line.split()[3])
    assert line.startswith(f"clock_ps: fp32-to-fp16 needs {needs} ps in osu018_stdcells, not 100; ")
    assert main(["rtl", "synth", "fp32-to-fp16", "--clock-ps", "100", "--slower", "--json", "-"]) == 0
    printed = capsys.readouterr()
    (document,) = json.loads(printed.out)
    assert round(document["period_ps"]) == needs and not document["clock_met"]
    assert f"clock_ps: fp32-to-fp16 needs {needs} ps in osu018_stdcells, not 100; its powers" in printed.err


def test_without_options_a_missed_clock_is_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rtl", "synth", "fp32-adder", "--json", "-"]) == 0
    printed = capsys.readouterr()
    (document,) = json.loads(printed.out)
    assert document["clock_ps"] == 3508 < document["critical_ps"] == document["period_ps"]
    assert f"needs {document['critical_ps']:.0f} ps in osu018_stdcells, not 3508; its powers are at" in printed.err


def test_the_netlist_of_a_circuit_with_several_runs(tmp_path: Path) -> None:
    command = ["rtl", "synth", "anda-pe", "--parameter", "lanes=8", "--m", "4,5", "--clock-ps", "20000"]
    assert main([*command, "--netlist", str(tmp_path / "pe.v")]) == 0
    assert "module anda_pe" in (tmp_path / "pe.v").read_text()
    assert main([*command, "--saif", str(tmp_path / "pe.saif"), "--run", "M=5"]) == 0
    assert "(DURATION " in (tmp_path / "pe.saif").read_text()
    assert main([*command, "--saif", str(tmp_path / "other.saif"), "--run", "M=9"]) == 2


def test_a_wrong_netlist_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def wrong(*arguments: Any) -> Netlist:
        netlist = map_design(*arguments)
        ports = [NetlistPort(p.name, p.is_input, p.nets[::-1]) if p.name == "half" else p for p in netlist.ports]
        return replace(netlist, ports=ports)

    monkeypatch.setattr("anda_codesign.rtl.synthesis.measure.map_design", wrong)
    line = refused(capsys, "fp32-to-fp16", "--clock-ps", "20001", "--m", "9")
    assert line.startswith("netlist: ") and "of half differ from the circuit before synthesis" in line
    assert line.endswith("no figure is reported; report this as a bug")


def test_several_clocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["rtl", "synth", "anda-pe", "--parameter", "lanes=8", "--m", "4", "--clock-ps", "100,20000"]
    assert main([*arguments, "--liberty", str(OSU018), "--json", "-", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    documents = json.loads(printed.out)
    assert [document["clock_met"] for document in documents] == [False, True]
    fast, slow = documents
    assert fast["period_ps"] == fast["critical_ps"] <= slow["critical_ps"]
    notes = [line for line in printed.err.splitlines() if "clock_ps" in line]
    assert notes == [
        f"anda: note: clock_ps: anda-pe needs {fast['critical_ps']:.0f} ps in osu018_stdcells, not 100; its powers are at "
        "that period"
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["synthesis.parquet", "synthesis.yaml"]


def test_several_files_after_one_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip_flops = ("DFFPOSX1", "DFFNEGX1", "DFFSR", "LATCH")
    logic = without(tmp_path, *flip_flops)
    rest = without(tmp_path, *(name for name in osu018().cell_names if name not in flip_flops))
    arguments = [
        "rtl",
        "synth",
        "fp32-to-fp16",
        "--clock-ps",
        "20000",
        "--m",
        "4",
        "--liberty",
        str(logic),
        str(rest),
    ]
    assert main(arguments) == 0
    assert "fp32-to-fp16" in capsys.readouterr().out


def read_saif(text: str) -> Any:
    """SAIF file as nested lists, read independently of the writer."""
    stack: list[list[Any]] = [[]]
    for token in text.replace("(", " ( ").replace(")", " ) ").split():
        if token == "(":
            stack.append([])
        elif token == ")":
            group = stack.pop()
            stack[-1].append(group)
        else:
            stack[-1].append(token)
    assert len(stack) == 1
    (file,) = stack[0]
    return file


def test_activity_for_other_tools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file alone gives the energies; its times and toggles are those of the gates."""
    saif, verilog = tmp_path / "pe.saif", tmp_path / "pe.v"
    arguments = ["anda-pe", "--parameter", "lanes=8", "--m", "4", "--clock-ps", "20000"]
    assert main(["rtl", "synth", *arguments, "--json", "-", "--saif", str(saif), "--netlist", str(verilog)]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    (run,) = document["runs"]
    kind, *groups = read_saif(saif.read_text())
    header = {group[0]: group[1:] for group in groups}
    assert kind == "SAIFILE" and header["SAIFVERSION"] == ['"2.0"'] and header["TIMESCALE"] == ["1", "ps"]
    (duration,) = map(int, header["DURATION"])
    assert duration == run["cycles"] * 20_000
    top, (_, *nets) = header["INSTANCE"]
    counts = {name: {field: int(value) for field, value in fields} for name, *fields in nets}
    assert top == "anda_pe" and verilog.read_text().startswith("module anda_pe (")
    for name, count in counts.items():
        assert f"wire {name};" in verilog.read_text()
        assert count["T0"] + count["T1"] == duration and count["TX"] == count["IG"] == 0
        is_clock = f"assign {name} = clk[0];" in verilog.read_text()
        assert is_clock == (count["TC"] == 2 * run["cycles"])
    netlist = map_design(create_design("anda-pe", lanes=8), osu018(), 20_000, "area")
    energies = EnergyModel(netlist, analyze_timing(netlist, output_load_ff(osu018())))
    toggles = {int(name.removeprefix("n")): count["TC"] for name, count in counts.items()}
    energy = energies.cycle_energy(Activity(toggles, run["cycles"]))
    assert energy.total_fj(20_000) * 1e-3 == pytest.approx(run["energy_pj_per_cycle"], rel=1e-5)
    assert refused(capsys, *arguments, "--saif", str(saif)) == (
        f"saif: {saif} exists and is not overwritten; name another file"
    )


DRIVER = """
import sys
import anda_codesign.rtl.synthesis as synthesis
from anda_codesign.experiments.cli import main

synthesis.all_designs = lambda: [
    ("fp32-to-fp16", {}), ("int-to-fp16", {"bits": 8}), ("fp16-multiplier", {}), ("bpc-lane", {"lanes": 8})
]
if __name__ == "__main__":
    sys.exit(main(["rtl", "synth", "--all", "--clock-ps", "20000", "--m", "4", *sys.argv[1:]]))
"""


def start(folder: Path, name: str, *options: str) -> "subprocess.Popen[str]":
    """Start the command on four small circuits with its own cache folder."""
    (folder / "driver.py").write_text(DRIVER)
    command = [sys.executable, "driver.py", "--trace", "trace.safetensors", "--out", f"{name}-out", *options]
    environment = os.environ | {"ANDA_CACHE": str(folder / f"{name}-cache")}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def made(folder: Path, name: str) -> dict[str, int]:
    """Documents in a cache, with the time at which each was written."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / f"{name}-cache" / "synthesis").glob("[!.]*")}


@pytest.mark.slow
def test_all_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    """A run that is killed after its first circuit continues without repeating it; the result is that of a whole run."""
    save_trace(tmp_path / "trace.safetensors")
    killed = start(tmp_path, "killed")
    while not made(tmp_path, "killed"):
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    before = made(tmp_path, "killed")
    assert 1 <= len(before) < 4 and not (tmp_path / "killed-out" / "synthesis.yaml").exists()
    for process in (start(tmp_path, "killed"), start(tmp_path, "whole", "--workers", "2")):
        process.communicate()
        assert process.returncode == 0
    after = made(tmp_path, "killed")
    assert len(after) == 4 and before.items() <= after.items()
    again, whole = (
        yaml.safe_load((tmp_path / f"{name}-out" / "synthesis.yaml").read_text()) for name in ("killed", "whole")
    )
    assert again == whole and [document["design"] for document in again][-1] == "bpc-lane"
