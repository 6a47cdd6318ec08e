"""LLVM vectors with NumPy's operators, for the inner loops of compiled kernels.

In plain numba loops, LLVM's cost model chooses register blocking and vector width. This halves the speed of the GeMM,
and a comparison of 64 lanes does not become one 64-bit word. A `Lanes` value is an LLVM vector, so each operator is
exactly one instruction on every target; LLVM splits vectors that are wider than the registers.
"""

from typing import Any, Union

from llvmlite import ir

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F32 = ir.FloatType()

Operand = Union["Lanes", int, float]


class Lanes:
    """Vector of unsigned integers, booleans or float32.

    Operators act lane by lane, with another vector of the same type or with a Python number; shifts are logical.
    """

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value
        self.element = value.type.element
        self.count: int = value.type.count

    @classmethod
    def splat(cls, builder: Any, scalar: Any, count: int) -> "Lanes":
        """Vector with an LLVM scalar in every lane."""
        undefined = ir.Constant(ir.VectorType(scalar.type, count), ir.Undefined)
        first = builder.insert_element(undefined, scalar, I32(0))
        return cls(builder, builder.shuffle_vector(first, undefined, _indices([0] * count)))

    @classmethod
    def load(cls, builder: Any, pointer: Any, index: Any, count: int) -> "Lanes":
        """Load ``count`` elements from ``pointer[index]`` on."""
        return cls(builder, builder.load(_vector_pointer(builder, pointer, index, count), align=_alignment(pointer)))

    def store(self, pointer: Any, index: Any) -> None:
        """Store to ``pointer[index]`` and the elements after it."""
        target = _vector_pointer(self.builder, pointer, index, self.count)
        self.builder.store(self.value, target, align=_alignment(pointer))

    def __add__(self, other: Operand) -> "Lanes":
        return self._apply("fadd" if self.is_float else "add", other)

    def __sub__(self, other: Operand) -> "Lanes":
        return self._apply("fsub" if self.is_float else "sub", other)

    def __mul__(self, other: Operand) -> "Lanes":
        return self._apply("fmul" if self.is_float else "mul", other)

    def __and__(self, other: Operand) -> "Lanes":
        return self._apply("and_", other)

    def __or__(self, other: Operand) -> "Lanes":
        return self._apply("or_", other)

    def __xor__(self, other: Operand) -> "Lanes":
        return self._apply("xor", other)

    def __lshift__(self, other: Operand) -> "Lanes":
        return self._apply("shl", other)

    def __rshift__(self, other: Operand) -> "Lanes":
        return self._apply("lshr", other)

    def __gt__(self, other: Operand) -> "Lanes":
        return self._compare(">", other)

    def __lt__(self, other: Operand) -> "Lanes":
        return self._compare("<", other)

    def maximum(self, other: Operand) -> "Lanes":
        """Elementwise maximum."""
        return (self > other).select(self, self._coerce(other))

    def minimum(self, other: Operand) -> "Lanes":
        """Elementwise minimum."""
        return (self < other).select(self, self._coerce(other))

    def equals(self, other: Operand) -> "Lanes":
        """Elementwise comparison for equality."""
        return self._compare("==", other)

    def select(self, if_true: "Lanes", if_false: Operand) -> "Lanes":
        """Elementwise choice by the booleans of this vector."""
        return Lanes(self.builder, self.builder.select(self.value, if_true.value, if_true._coerce(if_false).value))

    def like(self, number: float) -> "Lanes":
        """Vector of this type with a Python number in every lane."""
        return self._coerce(number)

    def add_product(self, a: "Lanes", b: "Lanes") -> "Lanes":
        """``self + a * b``, fused if the target can; only for exact results."""
        product = self.builder.fmul(a.value, b.value, flags=("contract",))
        return Lanes(self.builder, self.builder.fadd(self.value, product, flags=("contract",)))

    def bits_as(self, element: Any) -> "Lanes":
        """Reinterpret the bits as another type of the same width."""
        return Lanes(self.builder, self.builder.bitcast(self.value, ir.VectorType(element, self.count)))

    def widened(self, element: Any) -> "Lanes":
        """Zero-extend to wider integers."""
        return Lanes(self.builder, self.builder.zext(self.value, ir.VectorType(element, self.count)))

    def sign_extended(self, element: Any) -> "Lanes":
        """Sign-extend to wider integers."""
        return Lanes(self.builder, self.builder.sext(self.value, ir.VectorType(element, self.count)))

    def narrowed(self, element: Any) -> "Lanes":
        """Keep the low bits as narrower integers."""
        return Lanes(self.builder, self.builder.trunc(self.value, ir.VectorType(element, self.count)))

    def to_float(self) -> "Lanes":
        """Convert integers below 2^31 to float32, rounded to nearest even."""
        return Lanes(self.builder, self.builder.sitofp(self.value, ir.VectorType(F32, self.count)))

    def to_integer(self) -> "Lanes":
        """Convert float32 below 2^31 to 32-bit integers, truncated toward zero."""
        return Lanes(self.builder, self.builder.fptosi(self.value, ir.VectorType(I32, self.count)))

    def word(self) -> Any:
        """Pack 64 booleans into one 64-bit integer, lane i in bit i."""
        return self.builder.bitcast(self.value, I64)

    @classmethod
    def of_word(cls, builder: Any, word: Any) -> "Lanes":
        """Unpack a 64-bit integer into 64 booleans."""
        return cls(builder, builder.bitcast(word, ir.VectorType(I1, 64)))

    def permuted(self, indices: list[int]) -> "Lanes":
        """Permute the lanes: lane i gets lane ``indices[i]``."""
        return Lanes(self.builder, self.builder.shuffle_vector(self.value, self.value, _indices(indices)))

    @property
    def is_float(self) -> bool:
        """True if the lanes are float32."""
        return self.element == F32

    def _coerce(self, other: Operand) -> "Lanes":
        if isinstance(other, Lanes):
            return other
        return Lanes(self.builder, ir.Constant(self.value.type, [other] * self.count))

    def _apply(self, instruction: str, other: Operand) -> "Lanes":
        return Lanes(self.builder, getattr(self.builder, instruction)(self.value, self._coerce(other).value))

    def _compare(self, relation: str, other: Operand) -> "Lanes":
        compare = self.builder.fcmp_ordered if self.is_float else self.builder.icmp_unsigned
        return Lanes(self.builder, compare(relation, self.value, self._coerce(other).value))


def _indices(lanes: list[int]) -> Any:
    return ir.Constant(ir.VectorType(I32, len(lanes)), lanes)


def _vector_pointer(builder: Any, pointer: Any, index: Any, count: int) -> Any:
    vector = ir.VectorType(pointer.type.pointee, count)
    return builder.bitcast(builder.gep(pointer, [index]), vector.as_pointer())


def _alignment(pointer: Any) -> int:
    """Vectors need no more alignment than their elements."""
    element = pointer.type.pointee
    return 4 if element == F32 else element.width // 8
