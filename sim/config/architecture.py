"""Accelerators as data: the array, its processing elements, the buffers and the format of stored activations.

The built-in ones under ``architectures/`` are those that the Anda paper compares (arXiv 2411.15982, section V): equal
clock, equal peak throughput at 16 bits, equal on-chip memory.
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from ...formats import InputError
from ...formats.activations.stored import FP16, Stored, StoredFormat
from ...formats.documents.schema import Config, Name, check
from ...formats.latency.elements import SIGN_LOAD_CYCLES
from ...formats.named_format import GivenFormat, NamedFormat
from ...workloads import Precision
from .array import Array, reshaped
from .processing_element import ProcessingElement, load_element
from .weights import WeightConfig, load_weights
from .yaml_config import Bits, Bytes, Hertz, config_names, find_config, read_extended

DIVISIONS = 16
"""Parts into which a shared scratchpad is divided."""
FOLDER = Path(__file__).parents[1] / "architectures"


FORMER_NAMES = {"activation_memory": "activations"}
"""Fields of files of version 0.1.0, and their names now."""

ActivationMemory = Annotated[
    NamedFormat,
    PlainValidator(lambda given: NamedFormat.read(given, "activations")),
    PlainSerializer(lambda named: named.text),
    WithJsonSchema({"type": "string"}),
]
"""An activation format by its text."""


def with_current_names(data: Any) -> Any:
    """The fields of an architecture file, with former names replaced; `ValueError` if a field is given twice."""
    if not isinstance(data, dict):
        return data
    for former, name in FORMER_NAMES.items():
        if former in data and name in data:
            raise ValueError(f"{former}: is the former name of {name}; give one of them")
    return {FORMER_NAMES.get(key, key): value for key, value in data.items()}


def _precision(value: Any) -> Precision | None:
    return Precision.parse(value) if isinstance(value, str) else value


class BufferConfig(Config):
    """An on-chip memory with one port, double-buffered in use: one half fills while the other is read."""

    capacity_bytes: Bytes = Field(alias="capacity")
    port_bits: Bits = Field(alias="port")


class Compressor(Config):
    """The bit-plane compressor: FP16 results in, stored activations out, one group a lane."""

    lanes: int = Field(ge=1, le=1024)


class Architecture(Config):
    """An accelerator. Amounts in YAML carry their unit: ``clock: 285 MHz``, ``capacity: 1 MiB``, ``port: 1024 bit``."""

    name: Name
    title: str
    source: str
    clock_hz: Hertz = Field(alias="clock")
    array: Array
    processing_element: Annotated[ProcessingElement, BeforeValidator(load_element)]
    """An element with all its keys, or the name of a registered one or of a YAML file."""
    activations: ActivationMemory
    """Activation format in buffers and DRAM: ``anda``, ``fp16``, or another with its parameters. Elements with another operand
    format convert at every read."""
    activation_buffer: BufferConfig
    exponent_buffer: BufferConfig | None
    """A separate memory for shared exponents and scales; None if activations have none."""
    weight_buffer: BufferConfig
    weights: Annotated[WeightConfig, BeforeValidator(load_weights)]
    """A weight format: a built-in name, a YAML file, or a registered method with its parameters."""
    vector_lanes: int = Field(ge=1)
    default_precision: Annotated[Precision | None, BeforeValidator(_precision)] = None
    """Mantissa bits of qkv, o, u and d if a run asks for none; only where the operand's are variable."""
    compressor: Compressor | None
    partial_sums: Literal["array", "buffer"] = "array"
    """Place of the partial sums of a reduction in parts: the array alone, or FP32 in the activation buffer, too.

    An array that holds weights or activations has no place for sums, so these always go to the buffer.
    """

    scratchpad: Literal["separate", "shared"] = "separate"
    """Activation and weight buffer are two memories, or one of their summed capacity, divided anew for each GeMM.

    In a shared scratchpad both operands keep their ports; the capacities in the file are the division in the attention.
    """

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        return with_current_names(data)

    @model_validator(mode="after")
    def _check(self) -> Self:
        stored = self.longest
        for field, needed in (("exponent_buffer", stored.shared_bits > 0), ("compressor", stored.needs_compressor)):
            given = getattr(self, field) is not None
            if needed and not given:
                raise ValueError(f"{field}: activations {self.activations.text} needs one")
            if given and not stored.needs_compressor:
                raise ValueError(f"{field}: activations {self.activations.text} has none; write null")
        if self.default_precision is not None and not (self._is_variable or self.takes_precision):
            raise ValueError("default_precision: the operand's mantissa bits are fixed; leave it out")
        return self

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        self._array_fits()
        self._weights_fit()
        return self

    def _array_fits(self) -> None:
        stationary = [array.dataflow for array in self.array.shapes if array.dataflow != "output-stationary"]
        if stationary and self.partial_sums == "array" and "partial_sums" in self.model_fields_set:
            raise ValueError(
                f"partial_sums: the array is {stationary[0]} and has no place for them; write buffer, or leave it out"
            )
        for array in self.array.shapes:
            plane = array.rows * self.processing_element.lanes
            wide = plane > self.activation_buffer.port_bits
            if wide and self._is_variable and array.dataflow != "input-stationary":
                raise ValueError(
                    f"activation_buffer.port: one plane of {array.rows} rows is {plane} bit; "
                    f"widen the port to that or take fewer array.rows"
                )

    def _weights_fit(self) -> None:
        if self.weights.is_fp16 and self.processing_element.weight_operand == "int":
            raise ValueError(
                f"weights: {self.weights.name} holds FP16 numbers and {self.name} multiplies integers; take integer "
                "weights, such as int8, or an architecture with weight_operand: fp16, such as fp-fp"
            )

    def with_weights(self, weights: WeightConfig) -> Self:
        """The same machine with another weight format.

        Raises
        ------
        InputError
            The elements do not compute with it.
        """
        machine = self.model_copy(update={"weights": weights})
        try:
            machine._weights_fit()
        except ValueError as error:
            raise InputError(str(error)) from None
        return machine

    def with_array(self, shape: str | None, dataflow: str | None) -> Self:
        """The same machine with another shape of its array, such as ``1x256``, another dataflow, or both.

        Raises
        ------
        InputError
            The text is no shape, there is no such dataflow, or the buffers' ports do not suit it.
        """
        fields = self.array.model_dump()
        try:
            fields = fields if shape is None else reshaped(fields, shape)
        except ValueError as error:
            raise InputError(f"array: {error}") from None
        for each in (fields, fields.get("decode")):
            if each is not None and dataflow is not None:
                each["dataflow"] = dataflow
        machine = self.model_copy(update={"array": check(Array, fields, "array")})
        try:
            machine._array_fits()
        except ValueError as error:
            raise InputError(str(error)) from None
        return machine

    def with_activations(self, given: GivenFormat) -> Self:
        """The same machine with activations stored in another format; a converter is added if the format needs one and it has none.

        Raises
        ------
        InputError
            There is no such format, or it says something impossible of itself.
        """
        machine = self.model_copy(update={"activations": NamedFormat.read(given, "activations")})
        if machine.compressor is None and machine.longest.needs_compressor:
            return machine.model_copy(update={"compressor": Compressor(lanes=self.array.rows)})
        return machine

    def stored(self, mantissa_bits: Stored) -> StoredFormat:
        """A format in memory: the machine's own with M mantissa bits if it leaves them open, or FP16 for None."""
        if isinstance(mantissa_bits, StoredFormat):
            return mantissa_bits
        return FP16 if mantissa_bits is None else self.activations.stored(mantissa_bits, self.group_size)

    @property
    def longest(self) -> StoredFormat:
        """The machine's format at the most mantissa bits."""
        return self.activations.longest(self.group_size)

    @property
    def takes_precision(self) -> bool:
        """True if the activation format leaves its mantissa bits to the precision of a run."""
        return self.activations.is_open

    @property
    def _is_variable(self) -> bool:
        return self.processing_element.mantissa_bits == "variable"

    def operand_bits(self, stored: StoredFormat) -> int:
        """Mantissa bits of the datapath for stored activations: the element's own, or those of the format."""
        own = self.processing_element.mantissa_bits
        return stored.mantissa_bits if own == "variable" else own

    def datapath_bits(self, stored: StoredFormat) -> int:
        """`mantissa_bits` that set an element's cycles: of a bit-serial one the format's cycles but that of the signs."""
        serial = self.processing_element.timing == "bit-serial"
        return stored.cycles - SIGN_LOAD_CYCLES if serial else self.operand_bits(stored)

    @property
    def buffered_sums(self) -> bool:
        """True if partial sums may go to the activation buffer."""
        return self.partial_sums == "buffer" or self.array.dataflow != "output-stationary"

    def in_phase(self, phase: str) -> Self:
        """The machine in ``prefill`` or ``decode``."""
        array = self.array.in_phase(phase)
        return self if array is self.array else self.model_copy(update={"array": array})

    def divisions(self) -> list[Self]:
        """The machine with each division of a shared scratchpad into two buffers: the file's own, and in sixteenths."""
        if self.scratchpad == "separate":
            return [self]
        both = self.activation_buffer, self.weight_buffer
        total = sum(buffer.capacity_bytes for buffer in both)
        parts = [total * part // DIVISIONS for part in range(1, DIVISIONS)]
        sizes = [tuple(buffer.capacity_bytes for buffer in both), *((part, total - part) for part in parts)]
        return [
            self.model_copy(
                update={"scratchpad": "separate"}
                | {
                    field: buffer.model_copy(update={"capacity_bytes": size})
                    for field, buffer, size in zip(("activation_buffer", "weight_buffer"), both, pair, strict=True)
                }
            )
            for pair in sizes
        ]

    @property
    def group_size(self) -> int:
        """Channels that an element reduces at once; in Anda they share an exponent."""
        return self.processing_element.lanes

    @property
    def buffers(self) -> dict[str, BufferConfig]:
        """On-chip memories by field name."""
        exponents = {} if self.exponent_buffer is None else {"exponent_buffer": self.exponent_buffer}
        return {"activation_buffer": self.activation_buffer, **exponents, "weight_buffer": self.weight_buffer}

    @property
    def weight_load_cycles(self) -> int:
        """Cycles to stream one group's weights of all columns through the weight buffer's port, and to decode them."""
        return max(self.weight_stream_cycles(self.weights.bits), self.weights.decode_cycles)

    @property
    def digit_load_cycles(self) -> int:
        """Cycles to stream one group's weights for each of their digits."""
        return -(-self.weight_load_cycles // self.weight_digits)

    def precision(self, asked: Precision) -> Precision:
        """Mantissa bits of each module: those asked for, or the datapath's own if the format has fixed ones."""
        return asked if self.takes_precision else Precision.uniform(self.operand_bits(self.stored(1)))

    def datapath_precision(self, asked: Precision) -> Precision:
        """Mantissa bits of the datapath for each module."""
        return Precision(*(self.operand_bits(self.stored(bits)) for bits in self.precision(asked)))

    @property
    def weight_digits(self) -> int:
        """Passes of the array for one group: the digits of a weight, or 1 if the weight operand is FP16."""
        return self.processing_element.digits(self.weights.value_bits)

    def pass_cycles(self, stored: Stored) -> int:
        """Cycles of the array for one digit of one group of one tile; the digits share the stream of weights."""
        bits = self.datapath_bits(self.stored(stored))
        return self.processing_element.array_cycles(bits, self.digit_load_cycles, self.weights.value_bits)

    def working_cycles(self, stored: Stored) -> int:
        """Cycles of the elements for one digit of one group if their operands are there."""
        bits = self.datapath_bits(self.stored(stored))
        return self.processing_element.working_cycles(bits, self.weights.value_bits)

    def array_cycles_per_group(self, stored: Stored) -> int:
        """Cycles of the array for one group of channels of one tile, all digits of its weights."""
        return self.weight_digits * self.pass_cycles(stored)

    def element_cycles_per_group(self, stored: Stored) -> int:
        """Cycles in which the elements work for one group at their published power, all digits of its weights."""
        bits = self.datapath_bits(self.stored(stored))
        return self.weight_digits * self.processing_element.element_cycles(bits, self.weights.value_bits)

    def weight_stream_cycles(self, bits: int) -> int:
        """Cycles to stream `bits` bits for each channel of a group of all columns through the weight buffer's port."""
        columns = self.array.columns * self.array.channel_arrays
        return -(-columns * self.group_size * bits // self.weight_buffer.port_bits)

    @property
    def plane_cycles(self) -> int:
        """Cycles to send a plane of the activations to all arrays; one array gets a plane a cycle."""
        array = self.array
        bits = array.token_arrays * array.rows * self.group_size
        return 1 if array.count == 1 else -(-bits // self.activation_buffer.port_bits)

    def token_bits(self, channels: Any, stored: Stored) -> Any:
        """Bits of one token's stored activations, in whole groups.

        Parameters
        ----------
        channels
            Activations of the token; may be an array.
        stored
            Their format: M of the machine's own, or None for FP16.
        """
        return self.stored(stored).token_bits(channels)

    def token_footprint(self, channels: Any, stored: Stored) -> tuple[Any, Any]:
        """Bits of one token's activations in the activation buffer and in the exponent buffer."""
        return self.stored(stored).footprint(channels, self.exponent_buffer is not None)

    def resident_tokens(self, channels: int, stored: Stored) -> int:
        """Tokens of `channels` activations that fit the activation buffer and the exponent buffer."""
        bits, shared = self.token_footprint(channels, stored)
        tokens = self.activation_buffer.capacity_bytes * 8 // bits
        if self.exponent_buffer is None or not shared:
            return tokens
        return min(tokens, self.exponent_buffer.capacity_bytes * 8 // shared)


def architecture_names() -> list[str]:
    """The built-in architectures."""
    return list(config_names(FOLDER))


def load_architecture(name: str | Path) -> Architecture:
    """A built-in architecture by name, or your own by the path of its YAML file.

    A file may name another as its ``base`` and give only what differs; see `read_extended`.

    Raises
    ------
    InputError
        There is no such architecture, or its file has an unknown key or a bad value.
    """
    path = find_config(name, FOLDER, "architecture")
    return _load_builtin(path) if path.parent == FOLDER else _load(path)


@cache
def _load_builtin(path: Path) -> Architecture:
    return _load(path)


def _load(path: Path) -> Architecture:
    return check(Architecture, read_architecture(path), f"architecture {path.name}")


def read_architecture(path: Path) -> Any:
    """Data of an architecture's file and of its base. A processing element replaces that of the base as a whole."""
    return read_extended(path, FOLDER, "architecture", whole=("processing_element",))
