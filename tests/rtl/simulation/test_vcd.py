"""Waveforms: samples that the reader returns, and signals in the view files."""

import re
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat
from anda_codesign.rtl import run_pe
from anda_codesign.rtl.simulation.vcd import read_vcd, write_views


@pytest.fixture(scope="module")
def vcd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("waves") / "pe.vcd"
    x = np.array([[1.5, -0.25, 3.0, 0.0, 1.0, 2.0, -1.0, 0.5]], np.float16)
    run_pe(AndaFormat(3, 8).encode(x), np.arange(-4, 4, dtype=np.int8)[:, None], vcd=path)
    return path


def test_samples_are_the_values_of_the_cycles(vcd: Path) -> None:
    wave = read_vcd(vcd)
    assert wave.samples("bench.top.activation__valid")[:5] == [1, 1, 1, 1, 0]
    assert wave.samples("bench.top.result__valid")[:6] == [0, 0, 0, 0, 1, 0]
    signs, *planes = wave.samples(r"bench.top.\activation__payload.plane")[:4]
    tensor = AndaFormat(3, 8).encode(np.array([1.5, -0.25, 3.0, 0.0, 1.0, 2.0, -1.0, 0.5], np.float16))
    assert [signs, *planes] == [int(tensor.signs[0]), *tensor.planes[0].tolist()]


def test_views_name_signals_of_the_waveform(vcd: Path) -> None:
    save, commands = write_views(vcd)
    known = read_vcd(vcd).variables
    traces = [line for line in save.read_text().splitlines() if not re.match(r"[@\[-]", line)]
    assert [trace for trace in traces if re.sub(r"\[\d+:0\]$", "", trace) not in known] == []
    added = [line.split()[1] for line in commands.read_text().splitlines() if line.startswith("variable_add ")]
    assert [name for name in added if name not in known] == []
    for stream in ("activation", "weights", "result"):
        for part in ("valid", "ready"):
            assert f"bench.top.{stream}__{part}" in traces
            assert f"bench.top.{stream}__{part}" in added
    assert r"bench.top.\activation__payload.plane[7:0]" in traces
    assert f'[dumpfile] "{vcd.resolve()}"' in save.read_text()
    assert commands.read_text().splitlines()[-1] == "zoom_fit"
