# amaranth: UnusedElaboratable=no
"""Amaranth's simulator, cxxrtl and Verilator give equal payloads, cycles and flags."""

import re

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError, Int4Weights
from anda_codesign.rtl import AndaPE, StalledError, run_streams, run_vectors
from anda_codesign.rtl.arithmetic.fp import Fp32ToFp16
from anda_codesign.rtl.compressor.bpc import BpcLane, BpcLaneParameters
from anda_codesign.rtl.elements.anda_pe import AndaPEParameters
from anda_codesign.rtl.simulation.packing import pack
from anda_codesign.rtl.simulation.testbenches.array import run_matrix_unit

pytestmark = pytest.mark.tool("g++")
COMPILED = ["cxxrtl", "verilator"]
PAUSE = {"activation": [True, True, False]}


@pytest.mark.parametrize("simulator", COMPILED)
def test_streams_under_pauses(simulator: str) -> None:
    rng = np.random.default_rng(0)
    halves = pack(rng.integers(0, 65536, (6, 5)), 16)
    groups = [word | bits << 80 for word, bits in zip(halves, [1, 3, 16, 2, 7, 1], strict=True)]
    pauses = {name: (rng.random(31) < 0.4).tolist() for name in ("group", "planes")}
    arguments = {"group": groups}, {"planes": 36}
    options = {"flags": ["saturated"], "pauses": pauses}
    assert run_streams(BpcLane(BpcLaneParameters(lanes=5)), *arguments, **options, simulator=simulator) == run_streams(
        BpcLane(BpcLaneParameters(lanes=5)), *arguments, **options
    )


@pytest.mark.parametrize("simulator", COMPILED)
def test_vectors(simulator: str) -> None:
    values = np.random.default_rng(1).integers(0, 2**32, 200).tolist()
    outputs = ["half", "saturated"]
    compiled = run_vectors(Fp32ToFp16(), {"single": values}, outputs, simulator=simulator)
    assert compiled == run_vectors(Fp32ToFp16(), {"single": values}, outputs)


@pytest.mark.parametrize("simulator", ["amaranth", "cxxrtl"])
def test_a_stall_is_reported_alike(simulator: str) -> None:
    with pytest.raises(StalledError, match="nothing moved since cycle 2"):
        run_streams(
            AndaPE(AndaPEParameters(lanes=2)),
            {"activation": [0, 1, 2]},
            {"result": 1},
            simulator=simulator,
            pauses=PAUSE,
        )


def test_a_matrix_unit() -> None:
    rng = np.random.default_rng(2)
    a = AndaFormat(3, 8).encode(rng.standard_normal((3, 24)).astype(np.float16))
    w = Int4Weights.quantize(rng.standard_normal((24, 3)), 8)
    pauses = {name: (rng.random(31) < 0.3).tolist() for name in ("planes", "weights", "outputs")}
    compiled = run_matrix_unit(a, w, rows=2, columns=2, pauses=pauses, simulator="cxxrtl")
    plain = run_matrix_unit(a, w, rows=2, columns=2, pauses=pauses)
    np.testing.assert_array_equal(compiled.outputs, plain.outputs)
    assert (compiled.cycles, compiled.flags) == (plain.cycles, plain.flags)


def test_unknown_simulators_and_waveforms(tmp_path: object) -> None:
    with pytest.raises(InputError) as error:
        run_streams(AndaPE(AndaPEParameters(lanes=2)), {}, {}, simulator="icarus")
    assert re.match("simulator: 'icarus' .* amaranth, cxxrtl, verilator", str(error.value))
    with pytest.raises(InputError) as error:
        run_streams(AndaPE(AndaPEParameters(lanes=2)), {}, {}, simulator="cxxrtl", vcd=tmp_path)
    assert str(error.value).startswith("vcd: cxxrtl ")
