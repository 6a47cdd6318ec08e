"""Assembler: one instruction per line, ``name field=value …``; ``#`` begins a comment."""

from collections.abc import Iterable

from ..errors import InputError
from .instructions import FIELDS, Instruction, Opcode


def disassemble(instructions: Iterable[Instruction]) -> str:
    """Text of a program, in the form that `assemble` reads."""
    return "".join(f"{_line(instruction)}\n" for instruction in instructions)


def assemble(text: str) -> list[Instruction]:
    """Translate text to a program.

    Raises
    ------
    InputError
        A line is not an instruction; the message begins with the line number.
    """
    program: list[Instruction] = []
    for number, line in enumerate(text.splitlines(), 1):
        if words := line.partition("#")[0].split():
            try:
                program.append(_instruction(words))
            except InputError as error:
                raise InputError(f"line {number}: {error}") from None
    return program


def _line(instruction: Instruction) -> str:
    fields = FIELDS[instruction.opcode]
    values = [f"{field.name}={field.text(instruction[field.name])}" for field in fields]
    return " ".join([instruction.opcode.name.lower(), *values])


def _instruction(words: list[str]) -> Instruction:
    opcodes = {opcode.name.lower(): opcode for opcode in Opcode}
    if words[0] not in opcodes:
        raise InputError(f"instruction: {words[0]!r} is not valid; choose one of {', '.join(opcodes)}")
    opcode = opcodes[words[0]]
    fields = {field.name: field for field in FIELDS[opcode]}
    values: dict[str, int] = {}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if not equals:
            raise InputError(f"field: {word!r} is not valid; write name=value")
        if name in values:
            raise InputError(f"{name}: is given twice; remove one")
        if name not in fields:
            raise InputError(f"{name}: is not a field of {words[0]}; it has {', '.join(fields) or 'none'}")
        values[name] = fields[name].value(value)
    return Instruction(opcode, values)
