"""The instruction set as the circuit sees it: layouts of `formats.accelerator.instructions`, and what is illegal."""

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Const, Value
from amaranth.lib import data

from ..formats.accelerator.instructions import (
    FIELDS,
    OPCODE_BITS,
    RULES,
    Buffer,
    Opcode,
    Port,
    Unit,
    ports,
)


def operands_layout(opcode: Opcode) -> data.StructLayout:
    """The fields of an instruction, without its opcode."""
    return data.StructLayout({field.name: field.bits for field in FIELDS[opcode]})


def operands(word: Value, opcode: Opcode) -> Any:
    """The fields of a word, if it is such an instruction."""
    layout = operands_layout(opcode)
    return data.View(layout, word[OPCODE_BITS : OPCODE_BITS + layout.size])


def is_opcode(word: Value, opcode: Opcode) -> Value:
    """High if a word has this opcode."""
    return word[:OPCODE_BITS] == opcode


def is_legal(word: Value, max_mantissa_bits: int, vector_unit: bool) -> Value:
    """High if a word is an instruction that `Instruction.decode` takes.

    M is at most `max_mantissa_bits`, and without a vector unit there is no such instruction.
    """
    opcodes = [opcode for opcode in Opcode if vector_unit or opcode != Opcode.VECTOR]
    return _any(is_opcode(word, opcode) & _fields_legal(word, opcode, max_mantissa_bits) for opcode in opcodes)


def _fields_legal(word: Value, opcode: Opcode, max_mantissa_bits: int) -> Value:
    view = operands(word, opcode)
    legal = word[OPCODE_BITS + operands_layout(opcode).size :] == 0
    for field in FIELDS[opcode]:
        most = min(field.most, max_mantissa_bits) if field.name == "mantissa_bits" else field.most
        value = view[field.name]
        if field.lowest:
            legal = legal & (value >= field.lowest)
        if most < (1 << field.bits) - 1:
            legal = legal & (value <= most)
        if field.allowed:
            legal = legal & value.matches(*field.allowed)
    for rule in RULES.get(opcode, ()):
        breaks = [~view[name].matches(*values) for name, values in rule.when.items()]
        name, values = rule.then
        legal = legal & (view[name].matches(*values) | _any(breaks))
    return legal


def needs_port(word: Value, port: Port) -> Value:
    """High if an instruction needs this port of a buffer."""
    needs: list[Value] = []
    for opcode in Opcode:
        if any(field.name == "buffer" for field in FIELDS[opcode]):
            buffers = [buffer for buffer in Buffer if port in ports(opcode, buffer)]
            needs += [is_opcode(word, opcode) & (operands(word, opcode).buffer == buffer) for buffer in buffers]
        elif port in ports(opcode):
            needs.append(is_opcode(word, opcode))
    return _any(needs)


def _any(values: Iterable[Value]) -> Value:
    return reduce(or_, values, Const(0))


RETIRED = ("group", "tile", *(unit.name.lower() for unit in Unit))
"""The kinds of retire records."""

RETIRE_INDEX_BITS = 24

RETIRE = data.StructLayout({kind: data.StructLayout({"valid": 1, "index": RETIRE_INDEX_BITS}) for kind in RETIRED})
"""Work that is finished in this cycle.

Members
-------
group, tile
    The array has taken the last bit-plane of a group; the last column of a tile has left it.
loader, matrix, compressor, vector, storer
    The unit has done an instruction.

Each has `valid`, and `index`: the number of earlier ones since reset.
"""
