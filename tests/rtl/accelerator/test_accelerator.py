# amaranth: UnusedElaboratable=no
"""The accelerator against `fp_int_gemm` and `AndaFormat.encode`: memory image in, memory image out."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from anda_codesign.formats import AndaFormat, AndaTensor, GemmFlags, InputError, Int4Weights, fp_int_gemm
from anda_codesign.formats.accelerator import (
    AcceleratorConfig,
    Instruction,
    Opcode,
    assemble,
    compile_gemms,
    read_outputs,
    read_tensor,
)
from anda_codesign.formats.accelerator.instructions import FIELDS, INSTRUCTION_BITS, OPCODE_BITS, vector
from anda_codesign.formats.vector.command import Factor, VectorCommand
from anda_codesign.rtl import Accelerator, run_accelerator_program, run_accelerator_schedule, run_vectors
from anda_codesign.rtl.accelerator.top import FLAGS
from anda_codesign.rtl.isa import is_legal
from anda_codesign.rtl.simulation.amaranth_simulator import AmaranthCircuit
from anda_codesign.rtl.simulation.testbenches.accelerator import host_orders
from anda_codesign.rtl.simulation.testbenches.accelerator_circuit import AcceleratorBench
from gemm_operands import affine
from numpy.typing import NDArray

MACHINE = AcceleratorConfig(
    rows=2,
    columns=2,
    lanes=8,
    memory_bits=128,
    plane_depth=64,
    exponent_depth=16,
    weight_depth=64,
    factor_depth=32,
    result_depth=16,
    instruction_depth=256,
    vector_unit=False,
)
AFFINE = replace(MACHINE, affine=True)


def activations(rng: np.random.Generator, tokens: int, channels: int, mantissa_bits: int) -> AndaTensor:
    return AndaFormat(mantissa_bits, 8).encode((rng.standard_normal((tokens, channels)) * 3).astype(np.float16))


def symmetric(rng: np.random.Generator, channels: int, outputs: int, group_size: int = 8) -> Int4Weights:
    return Int4Weights.quantize(rng.standard_normal((channels, outputs)), group_size)


def assert_same(left: AndaTensor, right: AndaTensor) -> None:
    for name in ("signs", "planes", "exponents"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def assert_gemm(machine: AcceleratorConfig, a: AndaTensor, w: Int4Weights, pauses: int = 0) -> int:
    """Run a GeMM and compare; its cycles."""
    plan, memory = compile_gemms(machine, a, [w])
    run = run_accelerator_schedule(plan, memory, pauses=pauses)
    flags = GemmFlags()
    expected = fp_int_gemm(a, w, flags=flags)
    np.testing.assert_array_equal(read_outputs(plan, run.memory).view(np.uint16), expected.view(np.uint16))
    assert run.flags == {
        "illegal": False,
        "partial_saturated": flags.partial_saturated,
        "result_saturated": flags.result_saturated,
        "nonfinite": False,
        "vector_saturated": False,
        "out_of_range": False,
    }
    return run.cycles


@pytest.mark.parametrize("mantissa_bits", [1, 2, 7, 11, 16])
def test_a_gemm(mantissa_bits: int) -> None:
    rng = np.random.default_rng(mantissa_bits)
    assert_gemm(MACHINE, activations(rng, 2, 16, mantissa_bits), symmetric(rng, 16, 8))


@pytest.mark.parametrize(("tokens", "channels", "outputs"), [(1, 1, 1), (5, 13, 9), (3, 32, 17)])
def test_tails_and_several_chunks_of_tokens(tokens: int, channels: int, outputs: int) -> None:
    rng = np.random.default_rng(tokens)
    a = activations(rng, tokens, channels, 4)
    assert_gemm(MACHINE, a, symmetric(rng, channels, outputs, 16))
    assert_gemm(AFFINE, a, affine(rng, channels, outputs))


def test_weights_that_fill_their_buffer_are_loaded_one_strip_after_the_other() -> None:
    rng = np.random.default_rng(0)
    machine = replace(MACHINE, weight_depth=48)
    a, w = activations(rng, 2, 24, 2), symmetric(rng, 24, 16)
    assert assert_gemm(machine, a, w) > assert_gemm(replace(machine, weight_depth=96), a, w)


def test_symmetric_and_signed_weights_on_an_affine_machine() -> None:
    rng = np.random.default_rng(1)
    a, w = activations(rng, 2, 16, 3), symmetric(rng, 16, 8)
    assert_gemm(AFFINE, a, w)
    assert_gemm(AFFINE, a, Int4Weights(w.codes, w.scales, 8, w.scales))


def test_a_memory_that_pauses_changes_nothing_but_time() -> None:
    rng = np.random.default_rng(2)
    a, w = activations(rng, 3, 24, 5), symmetric(rng, 24, 10)
    assert assert_gemm(MACHINE, a, w, pauses=120) > assert_gemm(MACHINE, a, w)


@pytest.mark.parametrize("result_mantissa_bits", [1, 6, 13])
def test_compressed_outputs(result_mantissa_bits: int) -> None:
    rng = np.random.default_rng(result_mantissa_bits)
    a, w = activations(rng, 3, 9, 4), symmetric(rng, 9, 12)
    plan, memory = compile_gemms(MACHINE, a, [w], result_mantissa_bits=result_mantissa_bits)
    run = run_accelerator_schedule(plan, memory)
    expected = AndaFormat(result_mantissa_bits, 8).encode(fp_int_gemm(a, w))
    result = read_tensor(plan, run.memory)
    assert_same(result, expected)
    assert_same(AndaTensor.from_bytes(result.to_bytes()), expected)


@pytest.mark.parametrize("result_mantissa_bits", [None, 4])
def test_a_chain_of_gemms_stays_on_chip(result_mantissa_bits: int | None) -> None:
    rng = np.random.default_rng(3)
    a, first, second = activations(rng, 5, 16, 3), symmetric(rng, 16, 20), symmetric(rng, 20, 9)
    plan, memory = compile_gemms(
        MACHINE, a, [first, second], mantissa_bits=[5], result_mantissa_bits=result_mantissa_bits
    )
    assert len(plan.chunks) > 1
    run = run_accelerator_schedule(plan, memory)
    expected = fp_int_gemm(AndaFormat(5, 8).encode(fp_int_gemm(a, first)), second)
    if result_mantissa_bits is None:
        np.testing.assert_array_equal(read_outputs(plan, run.memory).view(np.uint16), expected.view(np.uint16))
    else:
        assert_same(read_tensor(plan, run.memory), AndaFormat(result_mantissa_bits, 8).encode(expected))


def test_saturation_sets_the_flags() -> None:
    a = AndaFormat(11, 8).encode(np.full((2, 8), 60000, np.float16))
    w = Int4Weights(np.full((8, 8), 7, np.int8), np.full((1, 8), 2, np.float16), 8)
    assert_gemm(MACHINE, a, w)
    plan, memory = compile_gemms(MACHINE, a, [w])
    flags = run_accelerator_schedule(plan, memory).flags
    assert flags["partial_saturated"] and flags["result_saturated"]


def test_infinities_in_memory_saturate_and_set_a_flag() -> None:
    """Halves that the host wrote: loaded as results, compressed, stored."""
    halves = np.arange(16, dtype=np.float16).reshape(2, 8)
    halves[1, 2] = np.inf
    memory = np.zeros((8, 16), np.uint8)
    memory[:2] = halves.view(np.uint8).reshape(2, 16)
    program = assemble(
        """
        load buffer=results address=4 count=2 memory=0
        barrier units=loader pending=0
        compress results=4 planes=3 exponents=1 blocks=1 stride=1 mantissa_bits=5
        barrier units=compressor pending=0
        store buffer=planes address=3 count=6 memory=2
        store buffer=exponents address=1 count=1 memory=3
        halt
        """
    )
    run = run_accelerator_program(MACHINE, program, memory, [2, 3])
    expected = AndaFormat(5, 8, nonfinite="saturate").encode(halves)
    planes = run.memory[2, :12].reshape(6, 2)
    np.testing.assert_array_equal(planes[0], expected.signs[:, 0])
    np.testing.assert_array_equal(planes[1:].T, expected.planes[:, 0])
    shared = int.from_bytes(run.memory[3, :2].tobytes(), "little")
    assert [shared & 31, shared >> 5] == expected.exponents[:, 0].tolist()
    assert run.flags["nonfinite"]


def test_units_that_share_a_buffer_port_wait_for_each_other() -> None:
    """No barrier orders the two stores and the compression, which all read results."""
    halves = np.random.default_rng(4).standard_normal((4, 8)).astype(np.float16)
    memory = np.zeros((16, 16), np.uint8)
    memory[:4] = halves.view(np.uint8)
    program = assemble(
        """
        load buffer=results address=0 count=4 memory=0
        barrier units=loader pending=0
        store buffer=results address=0 count=4 memory=4
        compress results=0 planes=0 exponents=0 blocks=2 stride=1 mantissa_bits=3
        store buffer=results address=2 count=2 memory=8
        halt
        """
    )
    run = run_accelerator_program(MACHINE, program, memory, list(range(4, 10)))
    np.testing.assert_array_equal(run.memory[4:8], memory[:4])
    np.testing.assert_array_equal(run.memory[8:10], memory[2:4])
    first, second = run.retired["storer"]
    assert first < run.retired["compressor"][0] < second


def test_an_illegal_instruction_ends_the_program_and_sets_a_flag() -> None:
    class Illegal(Instruction):
        def __init__(self) -> None:
            super().__init__(Opcode.HALT, {})

        def encode(self) -> int:
            return 15

    memory = np.zeros((4, 16), np.uint8)
    load = assemble("load buffer=planes address=0 count=8 memory=0")
    run = run_accelerator_program(MACHINE, [*load, Illegal(), *load], memory)
    assert run.flags["illegal"]
    assert len(run.retired["loader"]) == 1


@lru_cache(maxsize=1)
def elaborated(machine: AcceleratorConfig) -> AmaranthCircuit:
    return AmaranthCircuit(AcceleratorBench(accelerator=Accelerator(machine), memory_depth=16))


def run_unchecked(
    machine: AcceleratorConfig, program: list[Instruction], memory: NDArray[np.uint8]
) -> tuple[list[str], int]:
    """The flags of a program that nobody has checked, and the row 3 of memory after it."""
    host = host_orders(machine, program, memory, read_back=[3])
    run = elaborated(machine).run_streams({"host": host}, {"started": 1, "done": 1, "rows": 1}, [], {})
    status = run.transfers["done"].payloads[0]
    return [flag for index, flag in enumerate(FLAGS) if status >> index & 1], run.transfers["rows"].payloads[0]


@pytest.mark.parametrize(
    ("line", "flags"),
    [
        ("load buffer=planes address=56 count=8 memory=0", []),
        ("load buffer=planes address=57 count=8 memory=0", ["out_of_range"]),
        ("load buffer=results address=16383 count=1 memory=0", ["out_of_range"]),
        ("store buffer=planes address=63 count=1 memory=2", []),
        ("store buffer=exponents address=9 count=8 memory=2", ["out_of_range"]),
        # the second block's planes would be 17 x 1023 rows on, in a narrow counter at row 1007
        ("compress results=0 planes=0 exponents=0 blocks=2 stride=1023 mantissa_bits=16", ["out_of_range"]),
    ],
)
def test_a_row_that_does_not_exist_stops_the_program(line: str, flags: list[str]) -> None:
    memory = np.arange(64, dtype=np.uint8).reshape(4, 16)
    store = "barrier units=loader|storer|compressor pending=0\nstore buffer=results address=0 count=1 memory=3\nhalt"
    found, row = run_unchecked(MACHINE, assemble(f"{line}\n{store}"), memory)
    assert found == flags
    untouched = int.from_bytes(memory[3].tobytes(), "little")
    assert row == (untouched if flags else 0)


def test_vectors_that_do_not_exist_stop_the_program() -> None:
    machine = replace(MACHINE, vector_unit=True)
    memory = np.zeros((4, 16), np.uint8)
    square = VectorCommand(factor=Factor.LEFT, vectors=2)
    assert run_unchecked(machine, [vector(square, result=8, stride=7), *assemble("halt")], memory)[0] == []
    assert run_unchecked(machine, [vector(square, result=9, stride=7), *assemble("halt")], memory)[0] == [
        "out_of_range"
    ]


def test_a_program_without_an_end_is_illegal() -> None:
    machine = replace(MACHINE, instruction_depth=3)
    wait = assemble("barrier units=loader pending=0")
    memory = np.zeros((4, 16), np.uint8)
    assert run_unchecked(machine, [*wait * 2, *assemble("halt")], memory)[0] == []
    assert run_unchecked(machine, wait * 3, memory)[0] == ["illegal"]
    assert run_unchecked(machine, [*assemble("halt"), *wait * 3], memory)[0] == ["out_of_range"]


class Legality(wiring.Component):
    def __init__(self) -> None:
        super().__init__({"word": In(INSTRUCTION_BITS), "legal": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.legal.eq(is_legal(self.word, 16, True))
        return m


def test_the_circuit_takes_what_the_assembler_takes() -> None:
    rng = np.random.default_rng(5)
    words = list(range(16))
    for opcode, fields in FIELDS.items():
        for field in fields:
            for value in (0, field.lowest, field.most, field.most + 1, (1 << field.bits) - 1):
                word, place = int(opcode), OPCODE_BITS
                for other in fields:
                    chosen = value if other is field else int(rng.integers(other.lowest, other.most + 1))
                    word |= (chosen & (1 << other.bits) - 1) << place
                    place += other.bits
                words.append(word)
        words.append(words[-1] | 1 << 127)

    def legal(word: int) -> bool:
        try:
            Instruction.decode(word)
        except InputError:
            return False
        return True

    expected = [legal(word) for word in words]
    assert any(expected) and not all(expected)
    assert run_vectors(Legality(), {"word": words}, ["legal"])["legal"] == expected


def table_legality() -> Callable[[int], bool]:
    """A second reading of what is legal: the table of docs/rtl.md, word for word."""
    page = (Path(__file__).parents[3] / "docs/rtl.md").read_text("utf-8")
    table = page.partition("<!-- table: instructions -->")[2].partition("<!-- end -->")[0]
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    fields: dict[int, list[list[str]]] = {}
    for name, *row in rows:
        if name:
            fields[int(name.split("(")[1].rstrip(")"))] = current = []
        if any(row):
            current.append(row)
    every_buffer = next(legal for field, _, legal, _ in fields[int(Opcode.LOAD)] if field == "buffer").split(", ")

    def legal(word: int) -> bool:
        rest, values = word >> OPCODE_BITS, dict[str, str]()
        if word % (1 << OPCODE_BITS) not in fields:
            return False
        for field, bits, words, _ in fields[word % (1 << OPCODE_BITS)]:
            if not field:
                *conditions, (then, wanted) = [part.split(" is ") for part in re.split(", | and ", words[3:])]
                if all(values[one] in choice.split(" or ") for one, choice in conditions) and values[then] != wanted:
                    return False
                continue
            value, rest = rest % (1 << int(bits)), rest >> int(bits)
            choices = words.removeprefix("one or more of ").split(", ")
            if to := re.fullmatch(r"(\d+) to (\d+)", words):
                if not int(to[1]) <= value <= int(to[2]):
                    return False
                values[field] = str(value)
            elif words.startswith("one or more"):
                if not 1 <= value < 1 << len(choices):
                    return False
            else:
                known = every_buffer if field == "buffer" else choices
                if value >= len(known) or known[value] not in choices:
                    return False
                values[field] = known[value]
        return rest == 0

    return legal


def test_the_table_of_the_page_is_what_the_circuit_checks() -> None:
    """Random programs: every opcode, fields within, at and past their limits."""
    rng = np.random.default_rng(11)
    words: list[int] = []
    for _ in range(4000):
        opcode = Opcode(int(rng.integers(1, 8)))
        word, place = int(opcode), OPCODE_BITS
        wild = rng.random() < 0.3
        for field in FIELDS[opcode]:
            most = (1 << field.bits) - 1 if wild or rng.random() < 0.02 else field.most
            word |= int(rng.integers(0 if wild or rng.random() < 0.05 else field.lowest, min(most, 9) + 1)) << place
            place += field.bits
        words.append(word | int(rng.random() < 0.02) << 126)
    expected = list(map(table_legality(), words))
    assert 400 < sum(expected) < 3600
    assert run_vectors(Legality(), {"word": words}, ["legal"])["legal"] == expected


def test_illegal_parameters() -> None:
    for parameters, message in [
        ({"columns": 24}, "columns: 24"),
        (
            {"memory_bits": 512},
            "memory_bits: is 512, a row of planes has 1024",
        ),
        ({"instruction_depth": 1}, "instruction_depth: 1"),
    ]:
        with pytest.raises(InputError) as error:
            Accelerator(AcceleratorConfig(**parameters))
        assert str(error.value).startswith(message)
    memory = np.zeros((1, 16), np.uint8)
    for options, message in [
        ({"latency_cycles": 1}, "latency_cycles: 1"),
        ({"simulator": "icarus"}, "simulator: 'icarus'"),
    ]:
        with pytest.raises(InputError) as error:
            run_accelerator_program(MACHINE, assemble("halt"), memory, **options)
        assert str(error.value).startswith(message)
