"""Instruction set of the accelerator: one table for assembler, decoder circuit, timing model and documentation.

An instruction is a word of 128 bits: the opcode in bits 0 to 3, above it the fields in the order of `FIELDS`, then
zeros. Instructions are issued in order, at most one per cycle, and the units work in parallel. An instruction waits
until its unit has fewer than `MAX_UNFINISHED` unfinished instructions and the buffer ports that it needs are free
(`ports`). A unit owns a port from its first use until the unit is idle. Nothing else is checked: a program uses
``barrier`` to order instructions that depend on each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag
from types import MappingProxyType

from ..errors import InputError
from ..vector.command import COMMAND_FIELDS, REDUCTIONS, Addend, Factor, Modifier, VectorCommand, VectorOperation

INSTRUCTION_BITS = 128
OPCODE_BITS = 4
ADDRESS_BITS = 14
"""Width of an address in an on-chip buffer."""
MEMORY_ADDRESS_BITS = 32
COUNT_BITS = 15
GROUPS_BITS = 10
BLOCKS_BITS = 10

MAX_UNFINISHED = 4
"""Largest number of unfinished instructions of a unit."""


class Opcode(IntEnum):
    """Operation of an instruction. Zero is unused, so empty instruction memory is illegal."""

    LOAD = 1
    GEMM = 2
    COMPRESS = 3
    VECTOR = 4
    STORE = 5
    BARRIER = 6
    HALT = 7


class Unit(IntEnum):
    """Units that execute instructions."""

    LOADER = 0
    MATRIX = 1
    COMPRESSOR = 2
    VECTOR = 3
    STORER = 4


class Buffer(IntEnum):
    """On-chip buffers."""

    PLANES = 0
    EXPONENTS = 1
    WEIGHTS = 2
    FACTORS = 3
    RESULTS = 4


class Port(IntFlag):
    """Buffer ports that several units share; every buffer has one read port and one write port."""

    PLANES_READ = 1
    PLANES_WRITE = 2
    RESULTS_READ = 4
    RESULTS_WRITE = 8


@dataclass(frozen=True)
class Field:
    """A field of an instruction.

    Parameters
    ----------
    name, bits, meaning
        Name, width in bits, and description.
    lowest, highest
        Legal range; the default highest value is the largest that fits.
    names
        Assembler words for the values 0, 1, …; with `flags`, one for each bit.
    flags
        The value is a set of bits, written with ``|`` between the words.
    allowed
        Legal values, if they are not a whole range.
    """

    name: str
    bits: int
    meaning: str
    lowest: int = 0
    highest: int | None = None
    names: tuple[str, ...] = ()
    flags: bool = False
    allowed: tuple[int, ...] = ()

    @property
    def most(self) -> int:
        """Highest legal value."""
        return (1 << self.bits) - 1 if self.highest is None else self.highest

    @property
    def legal(self) -> str:
        """Legal values in words."""
        if self.flags:
            return f"{'one or more' if self.lowest else 'any'} of {', '.join(self.names)}"
        if self.names:
            return ", ".join(self.names[value] for value in self.allowed or range(self.most + 1))
        return f"{self.lowest} to {self.most}"

    def text(self, value: int) -> str:
        """Assembler text of a value."""
        if self.flags:
            return "|".join(name for bit, name in enumerate(self.names) if value >> bit & 1)
        return self.names[value] if self.names else str(value)

    def value(self, text: str) -> int:
        """Value of an assembler word.

        Raises
        ------
        InputError
            The word is not known.
        """
        words = text.split("|") if self.flags else [text]
        if self.names and all(word in self.names for word in words):
            numbers = [self.names.index(word) for word in words]
            return sum({1 << number for number in numbers}) if self.flags else numbers[0]
        if self.names or not text.isdecimal() or len(text) > MOST_DIGITS:
            choices = f"one of {', '.join(self.names)}" if self.names else "a number"
            raise InputError(f"{self.name}: {text!r} is not valid; choose {choices}")
        return int(text)


MOST_DIGITS = 20
"""Longest number of an assembler word."""


def _names(kind: type[IntEnum]) -> tuple[str, ...]:
    return tuple(member.name.lower() for member in kind)


def _address(name: str, meaning: str) -> Field:
    return Field(name, ADDRESS_BITS, meaning)


_VECTOR_WORDS: Mapping[str, type[IntEnum]] = {
    "operation": VectorOperation,
    "modifier": Modifier,
    "factor": Factor,
    "addend": Addend,
}
_VECTOR_COMMAND = tuple(
    Field(name, bits, "see `VectorCommand`", highest=len(_VECTOR_WORDS[name]) - 1, names=_names(_VECTOR_WORDS[name]))
    if name in _VECTOR_WORDS
    else Field(name, bits, "see `VectorCommand`, packed")
    for name, bits in COMMAND_FIELDS
    if name != "vectors"
)
_MANTISSA_BITS = Field("mantissa_bits", 5, "M, 1 to 16", lowest=1, highest=16)
_TRANSFER = (
    Field("buffer", 3, "the buffer", highest=len(Buffer) - 1, names=_names(Buffer)),
    _address("address", "its first row"),
    Field("count", COUNT_BITS, "rows of the buffer", lowest=1),
    Field("memory", MEMORY_ADDRESS_BITS, "first row of the memory; each holds as many rows of the buffer as fit"),
)
STORED = (Buffer.PLANES, Buffer.EXPONENTS, Buffer.RESULTS)
"""Buffers that can be stored; weights and factors can only be loaded."""

FIELDS: Mapping[Opcode, tuple[Field, ...]] = MappingProxyType(
    {
        Opcode.LOAD: _TRANSFER,
        Opcode.GEMM: (
            _address("planes", "first row of the activations' planes; blocks, of each groups of M + 1 rows"),
            _address("exponents", "first row of their exponents; blocks, of each a row per group"),
            _address("weights", "first row of weights; tiles, of each groups of four rows"),
            _address("factors", "first row of scales and offsets; tiles, of each a row per weight group"),
            _address("results", "first row of the results; blocks, of each output groups of a row per token"),
            Field("groups", GROUPS_BITS, "groups of the reduction", lowest=1),
            Field("output_groups", 10, "groups of output channels", lowest=1),
            Field("blocks", BLOCKS_BITS, "blocks of tokens, one for each row of the array", lowest=1),
            _MANTISSA_BITS,
            Field("groups_per_factor", 6, "groups that share a row of factors", lowest=1),
            Field("unsigned_codes", 1, "codes are 0 to 15, not -8 to 7"),
        ),
        Opcode.COMPRESS: (
            _address("results", "first row of the results; blocks, of each a row per token"),
            _address("planes", "first row of the planes; M + 1 rows a block"),
            _address("exponents", "row of the first block's exponents"),
            Field("blocks", BLOCKS_BITS, "blocks of tokens", lowest=1),
            Field("stride", GROUPS_BITS, "groups from a block to the next in planes and exponents", lowest=1),
            _MANTISSA_BITS,
        ),
        Opcode.VECTOR: (
            _address("left", "first row of results that feeds the left operands, if the command reads them"),
            _address("right", "first row of the right operands"),
            _address("result", "first row of results to write, unless the command leaves a scalar"),
            Field("stride", 10, "rows from a vector to the next, of all three", lowest=1),
            Field("vectors", 9, "vectors to walk over", lowest=1),
            *_VECTOR_COMMAND,
        ),
        Opcode.STORE: (replace(_TRANSFER[0], allowed=STORED), *_TRANSFER[1:]),
        Opcode.BARRIER: (
            Field("units", len(Unit), "the units to wait for", lowest=1, names=_names(Unit), flags=True),
            Field("pending", 3, "instructions of each that may be unfinished", highest=MAX_UNFINISHED),
        ),
        Opcode.HALT: (),
    }
)
"""Fields of each instruction, lowest bits first."""

UNITS: Mapping[Opcode, Unit] = MappingProxyType(
    {
        Opcode.LOAD: Unit.LOADER,
        Opcode.GEMM: Unit.MATRIX,
        Opcode.COMPRESS: Unit.COMPRESSOR,
        Opcode.VECTOR: Unit.VECTOR,
        Opcode.STORE: Unit.STORER,
    }
)
"""Unit that executes each instruction; the controller itself executes the others."""

SCALAR_OPERATIONS = (*REDUCTIONS, VectorOperation.LOAD)
"""Operations of the vector unit with a scalar result."""


@dataclass(frozen=True)
class Rule:
    """A rule between fields of an instruction: if each field of `when` has one of its values, so has the field of `then`.

    `refusal` tells a user how to keep it; it names values of fields in braces.
    """

    when: Mapping[str, tuple[int, ...]]
    then: tuple[str, tuple[int, ...]]
    refusal: str

    def text(self, opcode: Opcode) -> str:
        """The rule in words."""
        fields = {field.name: field for field in FIELDS[opcode]}

        def one(name: str, values: tuple[int, ...]) -> str:
            return f"{name} is {' or '.join(fields[name].text(value) for value in values)}"

        return f"if {' and '.join(one(*each) for each in self.when.items())}, {one(*self.then)}"

    def holds(self, fields: Mapping[str, int]) -> bool:
        """True if the fields of an instruction keep the rule."""
        name, values = self.then
        return fields[name] in values or not all(fields[other] in allowed for other, allowed in self.when.items())


_NO_REDUCTIONS = tuple(operation for operation in VectorOperation if operation not in REDUCTIONS)

RULES: Mapping[Opcode, tuple[Rule, ...]] = MappingProxyType(
    {
        Opcode.VECTOR: (
            Rule(
                {"operation": SCALAR_OPERATIONS},
                ("to_scalar", (1,)),
                "is {to_scalar}, {operation} leaves a scalar; set it to 1",
            ),
            Rule(
                {"to_scalar": (1,), "operation": _NO_REDUCTIONS},
                ("vectors", (1,)),
                "{vectors} do not fit a scalar; use 1, or set to_scalar to 0",
            ),
        )
    }
)
"""Rules between the fields of each instruction, beside the ranges of the fields."""

_LOAD_PORTS = {
    Buffer.PLANES: Port.PLANES_WRITE,
    Buffer.EXPONENTS: Port.PLANES_WRITE,
    Buffer.RESULTS: Port.RESULTS_WRITE,
}
_STORE_PORTS = {
    Buffer.PLANES: Port.PLANES_READ,
    Buffer.EXPONENTS: Port.PLANES_READ,
    Buffer.RESULTS: Port.RESULTS_READ,
}


def ports(opcode: Opcode, buffer: Buffer | None = None) -> Port:
    """Shared ports that an instruction needs; for load and store they depend on the buffer.

    Exponents are read and written together with planes.
    """
    if opcode == Opcode.LOAD and buffer is not None:
        return _LOAD_PORTS.get(buffer, Port(0))
    if opcode == Opcode.STORE and buffer is not None:
        return _STORE_PORTS.get(buffer, Port(0))
    if opcode == Opcode.GEMM:
        return Port.PLANES_READ | Port.RESULTS_WRITE
    if opcode == Opcode.VECTOR:
        return Port.RESULTS_READ | Port.RESULTS_WRITE
    return Port.RESULTS_READ | Port.PLANES_WRITE if opcode == Opcode.COMPRESS else Port(0)


@dataclass(frozen=True)
class Instruction:
    """An opcode with a value for each of its fields.

    Raises
    ------
    InputError
        A field is missing, unknown or out of its range, or the buffer cannot be stored.
    """

    opcode: Opcode
    fields: Mapping[str, int]

    def __post_init__(self) -> None:
        name, fields = self.opcode.name.lower(), FIELDS[self.opcode]
        known = [field.name for field in fields]
        for given in self.fields:
            if given not in known:
                raise InputError(f"{given}: is not a field of {name}; it has {', '.join(known) or 'none'}")
        for field in fields:
            if field.name not in self.fields:
                raise InputError(f"{field.name}: is missing; {name} needs {', '.join(known)}")
            if not field.lowest <= self.fields[field.name] <= field.most:
                found = self.fields[field.name]
                raise InputError(f"{field.name}: {found} is out of range in {name}; use {field.lowest} to {field.most}")
            if field.allowed and self.fields[field.name] not in field.allowed:
                found = field.text(self.fields[field.name])
                raise InputError(f"{field.name}: {found} cannot be {name}d; use one of {field.legal}")
        for rule in RULES.get(self.opcode, ()):
            if not rule.holds(self.fields):
                words = {field.name: field.text(self.fields[field.name]) for field in fields}
                raise InputError(f"{rule.then[0]}: {rule.refusal.format_map(words)}")

    def __getitem__(self, field: str) -> int:
        return self.fields[field]

    @property
    def ports(self) -> Port:
        """Shared ports that the instruction needs."""
        return ports(self.opcode, Buffer(self.fields["buffer"]) if "buffer" in self.fields else None)

    def encode(self) -> int:
        """Pack the instruction into a word of 128 bits."""
        word, position = int(self.opcode), OPCODE_BITS
        for field in FIELDS[self.opcode]:
            word |= self.fields[field.name] << position
            position += field.bits
        return word

    @classmethod
    def decode(cls, word: int) -> "Instruction":
        """Unpack a word that `encode` made.

        Raises
        ------
        InputError
            The opcode or a field is illegal, or a bit above the fields is set.
        """
        number, rest = word & (1 << OPCODE_BITS) - 1, word >> OPCODE_BITS
        if number not in list(Opcode):
            raise InputError(
                f"opcode: {number} is not valid; choose one of {', '.join(f'{op.value} ({op.name})' for op in Opcode)}"
            )
        values: dict[str, int] = {}
        for field in FIELDS[Opcode(number)]:
            values[field.name] = rest & (1 << field.bits) - 1
            rest >>= field.bits
        if rest:
            raise InputError(f"word: has bits above the fields of {Opcode(number).name.lower()}; leave them zero")
        return cls(Opcode(number), values)


def instruction(opcode: Opcode, **fields: int) -> Instruction:
    """Build an `Instruction` from keyword arguments."""
    return Instruction(opcode, fields)


def barrier(*units: Unit, pending: int = 0) -> Instruction:
    """Build a barrier: wait until each of `units` has at most `pending` unfinished instructions."""
    return instruction(Opcode.BARRIER, units=sum(1 << unit for unit in set(units)), pending=pending)


def vector(command: VectorCommand, *, left: int = 0, right: int = 0, result: int = 0, stride: int = 1) -> Instruction:
    """Build a vector instruction from a command and the first rows of its operands and result."""
    packed = command.pack()
    fields: dict[str, int] = {}
    for name, bits in COMMAND_FIELDS:
        fields[name] = packed & (1 << bits) - 1
        packed >>= bits
    return Instruction(Opcode.VECTOR, {**fields, "left": left, "right": right, "result": result, "stride": stride})


def reads(instruction: Instruction) -> tuple[bool, bool]:
    """Two flags: a vector instruction reads left operands; it reads right operands."""
    operation = VectorOperation(instruction["operation"])
    if operation == VectorOperation.LOAD:
        return False, False
    added = instruction["addend"] == Addend.RIGHT and operation not in REDUCTIONS
    return not instruction["left_is_scalar"], instruction["factor"] == Factor.RIGHT or added
