"""The accelerator's instruction set as text and words, its memory layout, and the schedules of GeMMs."""

import dataclasses

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError, Int4Weights
from anda_codesign.formats.accelerator import (
    Buffer,
    Instruction,
    Layer,
    Opcode,
    assemble,
    check_program,
    compile_gemms,
    disassemble,
    program_planes,
    schedule,
)
from anda_codesign.formats.accelerator.bounds_check import extents
from anda_codesign.formats.accelerator.instructions import (
    FIELDS,
    INSTRUCTION_BITS,
    OPCODE_BITS,
    SCALAR_OPERATIONS,
    vector,
)
from anda_codesign.formats.accelerator.layout import activation_rows, pack_rows, read_activation_rows, unpack_rows
from anda_codesign.formats.vector.command import Factor, VectorCommand, VectorOperation
from hypothesis import given
from hypothesis import strategies as st
from machines import SMALL_MACHINE

SMALL = dataclasses.replace(SMALL_MACHINE, factor_depth=32, instruction_depth=256)


@st.composite
def instructions(draw: st.DrawFn) -> Instruction:
    opcode = draw(st.sampled_from(list(Opcode)))
    values = {field.name: draw(st.integers(field.lowest, field.most)) for field in FIELDS[opcode]}
    if opcode == Opcode.STORE:
        values["buffer"] = draw(st.sampled_from([0, 1, 4]))
    if opcode == Opcode.VECTOR:
        values["to_scalar"] = int(values["operation"] in SCALAR_OPERATIONS)
        values["vectors"] = 1 if values["operation"] == VectorOperation.LOAD else values["vectors"]
    return Instruction(opcode, values)


@given(st.lists(instructions(), max_size=5))
def test_text_and_words_say_the_same(program: list[Instruction]) -> None:
    assert assemble(disassemble(program)) == program
    words = [instruction.encode() for instruction in program]
    assert all(word < 1 << INSTRUCTION_BITS for word in words)
    assert [Instruction.decode(word) for word in words] == program


def test_the_text_of_a_program() -> None:
    text = """
    # weights first
    load buffer=weights address=0 count=16 memory=100
    barrier units=loader|storer pending=1   # any order of fields
    store memory=7 buffer=results address=3 count=2
    halt
    """
    program = assemble(text)
    assert [instruction.opcode for instruction in program] == [Opcode.LOAD, Opcode.BARRIER, Opcode.STORE, Opcode.HALT]
    assert disassemble(program).splitlines() == [
        "load buffer=weights address=0 count=16 memory=100",
        "barrier units=loader|storer pending=1",
        "store buffer=results address=3 count=2 memory=7",
        "halt",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "\njump",
            "line 2: instruction: 'jump'",
        ),
        ("halt now", "line 1: field: 'now'"),
        ("halt now=1", "line 1: now:"),
        ("barrier units=loader", "line 1: pending: is missing"),
        ("barrier pending=0 pending=1", "line 1: pending: is given twice"),
        ("barrier units=loader pending=5", "line 1: pending: 5"),
        (
            "barrier units=dma",
            "line 1: units: 'dma'",
        ),
        ("barrier pending=-1", "line 1: pending: '-1'"),
        (
            "load buffer=planes address=0 count=0 memory=0",
            "line 1: count: 0",
        ),
        (
            "store buffer=weights address=0 count=1 memory=0",
            "line 1: buffer: weights cannot be stored",
        ),
    ],
)
def test_illegal_text(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        assemble(text)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (0, "opcode: 0 "),
        (Opcode.HALT | 1 << OPCODE_BITS, "word: has bits above the fields of halt"),
        (Opcode.BARRIER, "units: 0"),
    ],
)
def test_illegal_words(word: int, message: str) -> None:
    with pytest.raises(InputError) as error:
        Instruction.decode(word)
    assert str(error.value).startswith(message)


def test_vector_instructions_carry_commands_of_the_vector_unit() -> None:
    command = VectorCommand(operation=VectorOperation.DOT, factor=Factor.LEFT, destination=2, vectors=9, active=3)
    instruction = vector(command, left=7, stride=16)
    assert instruction["vectors"] == 9 and instruction["destination"] == 2 and instruction["to_scalar"] == 1
    assert (instruction["left"], instruction["right"], instruction["result"], instruction["stride"]) == (7, 0, 0, 16)
    assert "operation=dot modifier=plain factor=left " in disassemble([instruction])
    for change, message in [
        ({"to_scalar": 0}, "to_scalar: is 0, dot leaves a scalar"),
        ({"operation": 2}, "vectors: 9 do not fit a scalar"),
    ]:
        with pytest.raises(InputError) as error:
            Instruction(Opcode.VECTOR, {**instruction.fields, **change})
        assert str(error.value).startswith(message)


@given(st.integers(1, 40), st.integers(1, 20), st.sampled_from([64, 128]))
def test_rows_pack_into_memory_and_back(width: int, rows: int, memory_bits: int) -> None:
    bits = np.random.default_rng(rows).integers(0, 2, (rows, width)).astype(np.uint8)
    memory = pack_rows(bits, memory_bits)
    assert memory.shape == (-(-rows // (memory_bits // width)), memory_bits // 8)
    np.testing.assert_array_equal(unpack_rows(memory, width, rows), bits)


def test_activations_lie_plane_by_plane_with_tokens_side_by_side() -> None:
    x = AndaFormat(3, 8).encode(np.random.default_rng(0).standard_normal((3, 20)).astype(np.float16))
    planes, exponents = activation_rows(x, SMALL)
    assert planes.shape == (2, 3, 4, 16)
    token, group, element = 2, 1, 5
    assert planes[1, group, 0, element] == int(x.signs[token, group]) >> element & 1
    assert planes[1, group, 2, element] == int(x.planes[token, group, 1]) >> element & 1
    assert exponents[1, group, :5] @ (1 << np.arange(5)) == x.exponents[token, group]
    back = read_activation_rows(planes, exponents, SMALL, (3, 20), 3)
    np.testing.assert_array_equal(back.decode(), x.decode())


def test_segments_of_padding_alone_are_left_out() -> None:
    """40 channels in groups of 32 are five segments of 8; the last group's other three hold nothing."""
    x = AndaFormat(1, 32).encode(np.ones((2, 40), np.float16))
    planes, exponents = activation_rows(x, SMALL)
    assert planes.shape[:2] == exponents.shape[:2] == (1, 5)
    compile_gemms(SMALL, x, [Int4Weights.quantize(np.ones((40, 8)), 8)])


def test_weights_of_a_strip_are_loaded_while_the_one_before_is_used() -> None:
    lines = disassemble(schedule(SMALL, 2, [Layer(16, 24, 3)]).instructions).splitlines()
    second = next(index for index, line in enumerate(lines) if line.startswith("load buffer=weights address=64"))
    assert lines[second - 1].startswith("gemm") and "weights=0 " in lines[second - 1]
    assert not any(line.startswith("barrier units=matrix pending=0") for line in lines[: second + 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": 3}, "columns: 3 does not divide 8 lanes"),
        ({"rows": 0}, "rows: 0"),
        (
            {"memory_bits": 120},
            "memory_bits: is 120, a row of results has 128",
        ),
        ({"result_depth": 1}, "result_depth: 1"),
    ],
)
def test_machines_that_cannot_be(change: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as error:
        dataclasses.replace(SMALL, **change)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("layers", "tokens", "message"),
    [
        ([], 1, "layers: is empty"),
        ([Layer(8, 8, 3)], 0, "tokens: 0 "),
        ([Layer(8, 0, 3)], 1, "outputs: 0 "),
        ([Layer(8, 8, 3), Layer(16, 8, 3)], 1, "channels: are 16 after 8 outputs"),
        ([Layer(8, 8, 17)], 1, "mantissa_bits: 17"),
        (
            [Layer(96, 8, 5)],
            1,
            "planes: a block of tokens needs 72 rows, the machine has 64",
        ),
        (
            [Layer(72, 8, 1)],
            1,
            "weights: a strip of weights needs 144 rows, the machine has 128",
        ),
        (
            [Layer(8, 800, 1)],
            1,
            "instruction_depth: the program has 603 instructions, the machine holds 256",
        ),
    ],
)
def test_gemms_that_do_not_fit(layers: list[Layer], tokens: int, message: str) -> None:
    with pytest.raises(InputError) as error:
        schedule(SMALL, tokens, layers)
    assert str(error.value).startswith(message)


def test_operands_that_do_not_fit() -> None:
    rng = np.random.default_rng(0)
    a = AndaFormat(3, 8).encode(np.ones((2, 16), np.float16))
    w = Int4Weights.quantize(rng.standard_normal((16, 8)), 8)
    affine = Int4Weights(w.codes, w.scales, 8, w.scales)
    wide = dataclasses.replace(SMALL, lanes=16, memory_bits=256)
    cases = [
        (SMALL, [affine], "weights: have offsets"),
        (wide, [w], "lanes: 16 do not divide groups of 8"),
        (SMALL, [w, w], "mantissa_bits: 0 given for 2 GeMMs"),
    ]
    for machine, weights, message in cases:
        with pytest.raises(InputError) as error:
            compile_gemms(machine, a, weights)
        assert str(error.value).startswith(message)
    midpoint = AndaFormat(3, 8, reconstruct="midpoint").encode(np.ones((2, 16), np.float16))
    for machine, tensor, found, wanted in (
        (SMALL, midpoint, "midpoint", "truncate"),
        (dataclasses.replace(SMALL, midpoint=True), a, "truncate", "midpoint"),
    ):
        with pytest.raises(InputError) as error:
            compile_gemms(machine, tensor, [w])
        assert str(error.value).startswith(f'activations: have reconstruct="{found}"') and wanted in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "load buffer=weights address=120 count=9 memory=0",
            "address: instruction 1, load, reaches row 128 of weights",
        ),
        (
            "store buffer=results address=17 count=1 memory=0",
            "address: instruction 1, store, reaches row 17 of results",
        ),
        (
            "compress results=0 planes=40 exponents=0 blocks=2 stride=3 mantissa_bits=7",
            "planes: instruction 1, compress, reaches row 71 of planes",
        ),
    ],
)
def test_programs_that_leave_the_buffers(line: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        check_program(SMALL, assemble(f"barrier units=loader pending=0\n{line}"))
    depth = {"weights": 128, "results": 16, "planes": 64}[message.rsplit(" ", 1)[1]]
    assert str(error.value).startswith(f"{message}, the machine has {depth}; lower it, or choose a machine with more")


@given(st.data())
def test_extents_of_gemms_are_those_of_their_walk(data: st.DataObject) -> None:
    """Against the rows themselves, one by one."""
    fields = {field.name: data.draw(st.integers(field.lowest, min(field.most, 4))) for field in FIELDS[Opcode.GEMM]}
    gemm = Instruction(Opcode.GEMM, fields)
    blocks, groups, outputs = fields["blocks"], fields["groups"], fields["output_groups"]
    tiles = outputs * SMALL.tiles
    rows = {
        "planes": [(b, g, p) for b in range(blocks) for g in range(groups) for p in range(fields["mantissa_bits"] + 1)],
        "exponents": [(b, g) for b in range(blocks) for g in range(groups)],
        "weights": [(t, g, r) for t in range(tiles) for g in range(groups) for r in range(4)],
        "factors": [(t, g) for t in range(tiles) for g in range(groups) if g % fields["groups_per_factor"] == 0],
        "results": [(b, o, r) for b in range(blocks) for o in range(outputs) for r in range(SMALL.rows)],
    }
    assert {field: count for field, (_, count) in extents(SMALL, gemm).items()} == {
        field: len(each) for field, each in rows.items()
    }


def test_masks_lie_above_the_exponents() -> None:
    """Two tokens whose common planes are the 1st, 3rd and 4th of 4."""
    machine = dataclasses.replace(SMALL, skipping=True)
    x = np.zeros((2, 8), np.float16)
    x[0, 0], x[1, 3] = 1 + 1 / 4, 1 + 1 / 8
    planes, exponents = activation_rows(machine.format(4).encode(x), machine)
    assert planes.shape == (1, 1, 5, 16)
    assert exponents.shape == (1, 1, machine.row_bits[Buffer.EXPONENTS])
    assert exponents[0, 0, :10].tolist() == [1, 1, 1, 1, 0] * 2
    assert exponents[0, 0, 10:].tolist() == [0, 1, 1, *[0] * 12]
    for size, sent in ((machine, 3), (SMALL, 4)):
        tensor = size.format(4).encode(x)
        plan, _ = compile_gemms(size, tensor, [Int4Weights.quantize(np.ones((8, 16)), 8)])
        assert [planes.tolist() for planes in program_planes(plan, [tensor])] == [[[sent]], [[sent]]]
