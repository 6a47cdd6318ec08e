"""The points of a sweep as a stream: numbers of combinations, and columns for a block of them at a time.

A column is found once for each combination of the dimensions that it depends on, by making one point of them. So what a point
means stands in `SweepSpec.point` and `Point` alone, and no list of points is ever made.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...sim import Architecture, load_technology
from .fields import SweepFields
from .overrides import NUMBERS, column, doubtful, technology_with, with_numbers
from .points import MODULES, Point
from .space.combinations import GRID_LIMIT, Combinations, Indices, first_of_equal, latin_hypercube, random_samples
from .space.dimensions import ANDA_DIMENSIONS, DIMENSIONS
from .space.keys import digest, key_bytes
from .space.lookup import Lookup, as_column

BLOCK = 1 << 14
"""Combinations that are looked at together."""

Numbers = NDArray[np.int64]


class PointBlock:
    """Some points, as columns."""

    def __init__(self, stream: PointStream, numbers: Numbers) -> None:
        self._stream, self._rows = stream, len(numbers)
        self.indices = stream.combinations.indices(numbers)

    def __len__(self) -> int:
        return self._rows

    def point(self, row: int) -> Point:
        """The point of a row."""
        dimensions = self._stream.dimensions
        return self._stream.spec.point({name: values[self.indices[name][row]] for name, values in dimensions.items()})

    def points(self) -> Iterator[Point]:
        """All points, in order."""
        return map(self.point, range(self._rows))

    def coded(self, name: str) -> tuple[NDArray[np.int32], NDArray[Any]]:
        """An input column: for each row the place of its value, and the values."""
        codes, values = self._codes(name, lambda row: self._value(name, row))
        return codes, as_column(values)

    def column(self, name: str) -> NDArray[Any]:
        """An input column (`Point.columns`)."""
        codes, values = self.coded(name)
        return values[codes]

    def coded_by(self, name: str, find: Callable[[int], Any]) -> tuple[NDArray[np.int32], list[Any]]:
        """For each row the place of its value, and the values, which depend on what the stream knows of `name`."""
        return self._codes(name, find)

    def names(self) -> Sequence[str]:
        """Names of the input columns, in order."""
        return list(self._stream.first.columns())

    def key_characters(self) -> NDArray[np.uint8]:
        """Keys of the points, as rows of characters."""
        stream = self._stream
        fixed = [digest(*field) for field in stream.first.key_fields().items() if field[0] not in stream.key_fields]
        high, low = (np.full(self._rows, sum(half) % (1 << 64), dtype=np.uint64) for half in zip(*fixed, strict=True))
        for field in stream.key_fields:
            codes, digests = self._codes(f"key of {field}", partial(self._digest, field))
            pairs = np.array(digests, dtype=np.uint64)[codes]
            high, low = high + pairs[:, 0], low + pairs[:, 1]
        return key_bytes(high, low)

    def check_machines(self) -> None:
        """Refuse fields of architecture and technology that do not fit together in a point.

        Raises
        ------
        InputError
            There is such a point.
        """
        stream = self._stream
        bad = np.zeros(self._rows, dtype=np.bool_)
        for name in stream.constants:
            wrong = [not _is_constant(value) for value in stream.dimensions[name]]
            bad |= np.array(wrong)[self.indices[name]]
        codes, machines = self._codes("machine", self._machine)
        for code in np.unique(codes):
            rows = np.flatnonzero(codes == code)
            bad[rows] |= doubtful(self.with_columns(machines[code], rows))
        for row in np.flatnonzero(bad).tolist():
            self._machine(row)

    def with_columns(self, machine: Architecture, rows: NDArray[np.int64]) -> Architecture:
        """A machine with the columns of the numbers that the sweep sets."""
        for field, path in NUMBERS.items():
            if f"architecture.{field}" in self._stream.dimensions:
                machine = with_numbers(machine, path, self.column(column(field))[rows])
        return machine

    def refusals(self) -> NDArray[Any]:
        """For each point why its settings do not go together; None if they do."""
        found = np.full(self._rows, None, dtype=object)
        for name in ("request_refusal", "machine_refusal"):
            codes, reasons = self._codes(name, lambda row, name=name: getattr(self.point(row), name))
            refused = np.array([*reasons, None], dtype=object)[:-1][codes]
            found = np.where(found == None, refused, found)  # noqa: E711
        return found

    def _codes(self, name: str, find: Callable[[int], Any]) -> tuple[NDArray[np.int32], list[Any]]:
        lookup = self._stream.lookup(name)
        return lookup.codes(self.indices, self._rows, find), lookup.values

    def _value(self, name: str, row: int) -> Any:
        setting = self._stream.settings.get(name)
        if setting is None:
            return self.point(row).columns()[name]
        given, kind = self._stream.dimensions[setting][self.indices[setting][row]], self._stream.kinds.get(name)
        if setting.startswith("technology."):
            return given
        if not isinstance(given, str) and kind in (int, float) and kind(given) == given:
            return kind(given)  # saves a machine for each value
        value = self.point(row).columns()[name]
        self._stream.kinds[name] = type(value)
        return value

    def _digest(self, field: str, row: int) -> tuple[int, int]:
        return digest(field, self.point(row).key_fields()[field])

    def _machine(self, row: int) -> Architecture:
        """The architecture of a row; its technology is checked, too."""
        point = self.point(row)
        technology_with(str(point.technology), point.technology_settings)
        return point.machine


class PointStream:
    """All points of a sweep that is not a search.

    Parameters
    ----------
    spec
        The sweep.

    Attributes
    ----------
    dimensions
        The distinct values of each dimension.
    combinations
        All combinations; some are no points, or are the same point.
    left_out
        Reasons why settings of points do not go together, with the numbers of points, as `numbers` finds them.
    """

    def __init__(self, spec: SweepFields) -> None:
        self.spec = spec
        self.dimensions: dict[str, Sequence[Any]] = {
            name: tuple(dict.fromkeys(values)) for name, values in spec.dimensions().items()
        }
        self._sizes = {name: len(values) for name, values in self.dimensions.items()}
        self.settings = {
            column(name.partition(".")[2]): name
            for name in self.dimensions
            if name.startswith(("architecture.", "technology."))
        }
        self.kinds: dict[str, type] = {}
        self.left_out: Counter[str] = Counter()
        self._lookups: dict[str, Lookup] = {}
        self._collapsed = ("precisions", *self._named("modules."), *ANDA_DIMENSIONS)
        self._check_choices()
        self.combinations = self._combinations()

    @cached_property
    def first(self) -> Point:
        """The point of the first value of each dimension."""
        return self.spec.point({name: values[0] for name, values in self.dimensions.items()})

    def block(self, numbers: Numbers) -> PointBlock:
        """The points of some numbers."""
        return PointBlock(self, numbers)

    def numbers(self) -> Numbers:
        """Numbers of all points that meet the constraints on inputs, in the order of the file's lists, or as sampled.

        Raises
        ------
        InputError
            Something named does not exist, a formula is wrong, or there is no point at all.
        """
        found: list[Numbers] = []
        self.left_out.clear()
        for start in range(0, self.combinations.size, BLOCK):
            numbers = np.arange(start, min(start + BLOCK, self.combinations.size))
            numbers = numbers[self._is_first(self.combinations.indices(numbers))]
            allowed, reasons = self._allowed(self.block(numbers))
            self.left_out.update(reasons)
            found.append(numbers[allowed])
        kept = np.concatenate([*found, np.zeros(0, dtype=np.int64)])
        if not len(kept) and self.left_out:
            raise InputError(next(iter(self.left_out)))
        if not len(kept):
            raise InputError("constraints: no point meets them all; loosen one or vary more")
        return self._distinct(kept) if self.combinations.samples else kept

    def lookup(self, name: str) -> Lookup:
        """The lookup of a column, by the dimensions that it depends on."""
        if name not in self._lookups:
            needed = self.dependencies.get(name, tuple(self.dimensions))
            self._lookups[name] = Lookup({dimension: self._sizes[dimension] for dimension in needed})
        return self._lookups[name]

    @cached_property
    def dependencies(self) -> Mapping[str, tuple[str, ...]]:
        """Dimensions that columns depend on; a column that is not named may depend on all."""
        fields = self._named("architecture."), self._named("technology.")
        element = [name for name in fields[0] if name.startswith(("architecture.processing_element", *MEMORY_FORMAT))]
        memory = ("archs", "activations", *(name for name in fields[0] if name.startswith(MEMORY_FORMAT)))
        widths = ("archs", "activations", "precisions", *self._named("modules."), *element)
        inference = ("prompts", "generates")
        options: dict[str, tuple[str, ...]] = {field: (name,) for name, field in DIMENSIONS.items()}
        options |= {DIMENSIONS[name]: (*memory, name) for name in ANDA_DIMENSIONS}
        options |= {"model": ("models",), "arch": ("archs",), "precision": widths}
        keys = {f"key of {field}": needed for field, needed in options.items()}
        keys |= {f"key of {name}": (name,) for group in fields for name in group}
        keys["key of allow_overflow"] = ("prompts", "scopes")
        keys["key of activations"] = memory
        return {
            **options,
            **keys,
            **{f"mantissa_bits_{module}": widths for module in MODULES},
            "phase": ("phases", *inference),
            "tokens": ("tokens", *inference),
            "scope": ("scopes", *inference),
            "prompt": inference,
            "generate": inference,
            "key of prompt": ("prompts",),
            "key of generate": ("generates",),
            "format_bits": (*widths, "formats"),
            **{column: (name,) for column, name in self.settings.items()},
            "fixed": memory,
            "machine": ("archs", "activations", "technologies", *self.structure),
            "task": ("models", "phases", "tokens", "contexts", "batches"),
            "structure": (*STRUCTURE, *self.structure, *self._tabled()),
            "request_refusal": REQUEST,
            "machine_refusal": (*STRUCTURE, *MACHINE, *self.structure, *memory),
        }

    @cached_property
    def constants(self) -> Sequence[str]:
        """Dimensions that are constants of a technology."""
        return self._named("technology.")

    @cached_property
    def structure(self) -> Sequence[str]:
        """Dimensions that are fields of an architecture but no plain numbers, such as a weight format."""
        return [name for name in self._named("architecture.") if name.partition(".")[2] not in NUMBERS]

    @cached_property
    def key_fields(self) -> Sequence[str]:
        """Fields of a point on which dimensions have an influence."""
        return [name.removeprefix("key of ") for name in self.dependencies if name.startswith("key of ")]

    def _tabled(self) -> list[str]:
        """Sizes of buffers, if a technology has a table of memories, which takes one size at a time."""
        tables = [load_technology(name).sram for name in self.dimensions["technologies"]]
        return [name for name in self._named("architecture.") if "_buffer." in name and any(tables)]

    def _check_choices(self) -> None:
        """Make the points of the first values, with one value of an architecture or of the format in its place.

        Raises
        ------
        InputError
            Such a point cannot be.
        """
        first = {name: values[0] for name, values in self.dimensions.items()}
        for name in ("archs", *ANDA_DIMENSIONS, "activations", "formats"):
            for value in self.dimensions[name]:
                self.spec.point(first | {name: value})

    def _named(self, start: str) -> list[str]:
        return [name for name in self.dimensions if name.startswith(start)]

    def _allowed(self, block: PointBlock) -> tuple[NDArray[np.bool_], list[str]]:
        """Points with settings that go together which meet the constraints on inputs; and reasons of those that do not."""
        if not len(block):
            return np.zeros(0, dtype=np.bool_), []
        block.check_machines()
        kept = np.ones(len(block), dtype=np.bool_)
        for formula in self.spec.formulas.conditions:
            if formula.names <= self._inputs:
                kept &= formula.holds({name: block.column(name) for name in formula.names})
        refusals = block.refusals()
        possible = refusals == None  # noqa: E711
        return kept & possible, refusals[kept & ~possible].tolist()

    @cached_property
    def _inputs(self) -> set[str]:
        return set(self.first.columns())

    def _fixed(self, indices: Indices) -> NDArray[np.bool_]:
        """True where the mantissa bits are those of the machine, not of the dimensions."""

        def find(row: int) -> bool:
            choice = {name: values[indices[name][row]] for name, values in self.dimensions.items()}
            return not self.spec.machine(choice).takes_precision

        lookup = self.lookup("fixed")
        codes = lookup.codes(indices, len(indices["archs"]), find)
        return np.array(lookup.values, dtype=np.bool_)[codes]

    def _is_first(self, indices: Indices) -> NDArray[np.bool_]:
        """False for combinations of a grid that are the point of an earlier one: other widths on a fixed architecture."""
        fixed = self._fixed(indices)
        first = np.ones(len(fixed), dtype=np.bool_)
        if not self.combinations.samples:
            for name in self._collapsed:
                np.logical_and(first, np.logical_or(indices[name] == 0, np.logical_not(fixed)), out=first)
        return first

    def _distinct(self, numbers: Numbers) -> Numbers:
        """Numbers of samples without those that are an earlier point."""
        indices = dict(self.combinations.indices(numbers))
        fixed = self._fixed(indices)
        for name in self._collapsed:
            indices[name] = np.where(fixed, 0, indices[name])
        return numbers[first_of_equal(indices, np.arange(len(numbers)))]

    def _combinations(self) -> Combinations:
        sampling = self.spec.sampling
        if sampling.method == "grid":
            return _checked(Combinations(self._sizes))
        each = _checked(Combinations({name: self._sizes[name] for name in sampling.for_each}))
        sampled = {name: size for name, size in self._sizes.items() if name not in sampling.for_each}
        count = sampling.points or 0
        if sampling.method == "latin-hypercube":
            samples = latin_hypercube(sampled, count, sampling.seed)
            return Combinations(each.grid, samples, len(samples["models"]))

        def wanted(samples: Indices) -> NDArray[np.bool_]:
            count = len(samples["models"])
            self.combinations = Combinations(each.grid, samples, count)
            allowed = self._allowed(self.block(np.arange(self.combinations.size)))[0]
            return np.asarray(allowed.reshape(count, each.size).any(axis=1), dtype=np.bool_)

        samples = random_samples(sampled, count, sampling.seed, wanted)
        return Combinations(each.grid, samples, len(samples["models"]))


STRUCTURE = ("archs", "activations", "technologies", "weights", "objectives", "idle", "clock_gating", "dram_background")
"""Dimensions beside fields on which the formulas of a machine depend."""
REQUEST = (
    *("models", "phases", "tokens", "contexts", "batches", "prompts", "generates", "scopes"),
    *("kv_caches", "vector_unit", "vector_traffic", "head"),
)
"""Dimensions on which it depends whether a model can run as asked."""
MACHINE = ("levels", "mappings", "memories", "kv_caches", "reconstructions", "zero_planes")
"""Dimensions beside those above on which it depends whether a machine can be set up."""
MEMORY_FORMAT = ("architecture.activation", "architecture.compressor")
"""Fields that decide in which formats an architecture can store activations."""


def _is_constant(value: Any) -> bool:
    """True for what a constant of a technology may be: a finite number above 0."""
    return isinstance(value, int | float) and 0 < value < math.inf


def _checked(combinations: Combinations) -> Combinations:
    """The combinations, unless there are too many.

    Raises
    ------
    InputError
        There are.
    """
    if combinations.size > GRID_LIMIT:
        raise InputError(
            f"sampling: the grid has {combinations.size:,} combinations, more than {GRID_LIMIT:,}; take random or "
            "latin-hypercube"
        )
    return combinations
