"""Activation formats drive the machine: bits, cycles, shared exponents and conversion follow from what a format says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError
from anda_codesign.formats.activations.base import join_groups, split_groups
from anda_codesign.formats.activations.registry import activation_format
from anda_codesign.formats.activations.stored import FP16, stored
from anda_codesign.sim import load_architecture, prepare, run_gemms, simulate_model
from anda_codesign.sim.config.architecture import Architecture
from anda_codesign.sim.mapping.mapped_gemm import map_gemm
from anda_codesign.sim.settings import Settings
from anda_codesign.workloads import Gemm, Precision, model_shape
from numpy.typing import NDArray

M7 = Precision.uniform(7)
WORK = [Gemm("qkv", 300, 200, 150), Gemm("d", 300, 200, 150)]


@dataclass(frozen=True)
class Steps:
    """Integers of `bits` bits, sign included, in steps of an FP16 scale that a group shares."""

    bits: int = 6
    group_size: int = 32
    shared_bits: int = 16
    cycles: int = 5

    name: ClassVar[str] = "steps"
    source: ClassVar[str] = "this test"

    @property
    def parameters(self) -> dict[str, int | str]:
        return {"bits": self.bits, "group_size": self.group_size, "cycles": self.cycles}

    @property
    def bits_per_value(self) -> float:
        return self.bits + 16 / self.group_size

    @property
    def cycles_per_group(self) -> int:
        return self.cycles

    def encode(self, x: NDArray[np.float16]) -> "StepsTensor":
        groups, most = split_groups(x, self.group_size), 2 ** (self.bits - 1) - 1
        scales = (np.abs(groups).max(axis=-1, keepdims=True) / most).astype(np.float16).astype(np.float32)
        quotients = np.divide(groups, scales, where=scales > 0, out=np.zeros_like(groups))
        return StepsTensor(self, x.shape, np.clip(np.rint(quotients), -most, most), scales)


@dataclass(frozen=True, eq=False)
class StepsTensor:
    format: Steps
    shape: tuple[int, ...]
    integers: NDArray[Any]
    scales: NDArray[Any]

    def decode(self) -> NDArray[np.float32]:
        return join_groups(self.integers * self.scales, self.shape, self.format.group_size)


def run(arch: str | Architecture, activations: Any = None, level: Any = "analytical") -> Any:
    return run_gemms(WORK, prepare(arch, Settings(level=level, activations=activations, mapping="double-buffered")), M7)


def test_the_numbers_of_a_format_are_those_of_the_machine():
    machine = load_architecture("anda").with_activations(Steps())
    mapped = map_gemm(WORK[1], machine, machine.precision(M7))
    assert mapped.token_bits == 7 * (32 * 6 + 16)  # 200 channels in groups of 32
    assert mapped.result_bits == 5 * (32 * 6 + 16)
    assert machine.token_footprint(200, mapped.inputs) == (7 * 32 * 6, 7 * 16)
    assert mapped.group_cycles == 5
    assert mapped.mantissa_bits == 6
    assert mapped.compress_cycles > 0
    assert machine.precision(M7) == Precision.uniform(6)


@pytest.mark.parametrize("level", ["analytical", "events"])
def test_a_bit_serial_array_takes_the_cycles_of_the_format_and_a_fixed_one_keeps_its_own(level: str):
    """Half the cycles a group halve those of the array; at a fixed rate only bits move."""
    slow, fast = (run("anda", Steps(cycles=cycles), level).cycles for cycles in (16, 8))
    assert 1.8 < slow / fast <= 2
    plain, fixed, other = run("fp-fp", None, level), run("fp-fp", Steps(), level), run("fp-fp", Steps(cycles=9), level)
    assert fixed.dram_bytes < plain.dram_bytes
    assert fixed.sram_bytes < plain.sram_bytes
    assert fixed.energy_pj.dram < plain.energy_pj.dram
    assert fixed.cycles == other.cycles
    assert [gemm.array_cycles for gemm in fixed.runs] == [gemm.array_cycles for gemm in plain.runs]


@pytest.mark.parametrize("bits", [1, 4, 7, 12, 16])
def test_anda_takes_the_same_road(bits: int):
    """The machine's own format, named with its width, is the machine as it is at that precision."""
    own = run_gemms(WORK, prepare("anda", Settings()), Precision.uniform(bits))
    named = run_gemms(WORK, prepare("anda", Settings(activations=f"anda mantissa_bits={bits}")), M7)
    assert (own.cycles, own.dram_bytes, own.sram_bytes, own.energy_pj) == (
        named.cycles,
        named.dram_bytes,
        named.sram_bytes,
        named.energy_pj,
    )


def test_a_converter_comes_with_a_format_that_needs_one():
    plain = load_architecture("fp-fp")
    assert plain.with_activations("mxint8").compressor is not None
    assert plain.with_activations("bf16").compressor is None
    assert plain.with_activations("figna").token_bits(70, 7) == 70 * 16
    assert prepare("fp-fp", Settings(activations="mxint8")).costs.area_mm2["compressor"] > 0


def test_a_fixed_datapath_stores_anda_at_the_precision_asked():
    runs = [run_gemms(WORK, prepare("figna", Settings(activations="anda")), Precision.uniform(m)) for m in (4, 8)]
    assert runs[0].dram_bytes < runs[1].dram_bytes
    assert runs[0].runs[0].mapped.mantissa_bits == runs[1].runs[0].mapped.mantissa_bits == 13


def test_every_registered_format_and_cache_runs_a_model():
    shape = model_shape("OPT-125M")
    results = [
        simulate_model(shape, "anda", M7, tokens=64, activations=name, kv_cache=name)
        for name in (
            "fp16",
            "bf16",
            "figna",
            "ifpu",
            "vs-quant",
            "boost",
            "flexpoint",
            "fast",
            "dacapo",
            "mxfp4",
            "nvfp4",
        )
    ]
    assert all(result.cycles > 0 for result in results)
    assert len({result.dram_bytes for result in results}) > 6


@pytest.mark.parametrize(
    "fmt",
    [
        AndaFormat(5),
        AndaFormat(5, mask_rows=16),
        activation_format("flexpoint"),
        activation_format("nvfp4", group_size=7),
        Steps(group_size=48),
        Steps(group_size=1000),
    ],
    ids=str,
)
def test_stored_groups_are_whole(fmt: Any):
    found = stored(fmt)
    values = max(found.group_size, 1)
    assert abs(found.group_bits - fmt.bits_per_value * values) < 1
    assert found.token_bits(values + 1) == 2 * found.group_bits
    setup = prepare("anda", Settings(activations=fmt, level="events"))
    assert run_gemms(WORK, setup, M7).dram_bytes > 0
    assert FP16.token_bits(70) == 70 * 16


def test_other_planes_and_circuits_are_refused():
    with pytest.raises(InputError, match=r"^group_cycles: anda has no planes to skip"):
        run_gemms(WORK, prepare("anda", Settings(activations=Steps(), group_cycles={"qkv": 3.0, "d": 3.0})), M7)
    with pytest.raises(InputError, match=r"^level: cycle needs the circuit of Anda"):
        run("anda", "mxint8", "cycle")


def test_a_file_names_a_format(tmp_path: Path):
    text = (Path(__file__).parents[2] / "sim/architectures/anda.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("activations: anda", 'activations: "dacapo mantissa_bits=8"'))
    machine = load_architecture(path)
    assert machine.token_bits(160, 3) == 160 * 9
    assert run(machine).cycles == run("anda", "dacapo mantissa_bits=8").cycles
