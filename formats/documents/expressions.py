"""Formulas of data files over named numbers: metrics and constraints of sweeps, cycles of processing elements.

Arithmetic, comparisons, ``and``/``or``/``not``, a few functions, numbers and quoted texts; nothing else of Python.
"""

from __future__ import annotations

import ast
import operator
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from ..errors import InputError

BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.And: np.logical_and,
    ast.Or: np.logical_or,
}
UNARY: dict[type[ast.AST], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.Not: np.logical_not}
FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "min": (2, np.minimum),
    "max": (2, np.maximum),
    "abs": (1, np.abs),
    "sqrt": (1, np.sqrt),
    "exp": (1, np.exp),
    "log2": (1, np.log2),
    "log10": (1, np.log10),
    "round": (1, np.round),
    "ceil": (1, np.ceil),
    "floor": (1, np.floor),
}


MAX_CHARACTERS = 500
"""Longest formula, in characters."""
MAX_DEPTH = 100
"""Deepest nesting of a formula, well below the depth to which Python recurses."""


class Expression:
    """A parsed formula.

    Raises
    ------
    InputError
        The text is no such formula; the message starts with `field`.
    """

    def __init__(self, text: str, field: str) -> None:
        self.text = text
        self.field = field
        if len(text) > MAX_CHARACTERS:
            raise InputError(f"{field}: has {len(text)} characters; use at most {MAX_CHARACTERS}")
        try:
            self._tree = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise InputError(
                f"{field}: {text!r} is not a formula; write one such as seconds * energy_total_pj"
            ) from None
        self.names = frozenset(self._walk(self._tree))

    def _walk(self, node: ast.AST, depth: int = 0) -> list[str]:
        """The column names under a node, which must be of the kinds that `_value` knows."""
        if depth > MAX_DEPTH:
            raise InputError(f"{self.field}: nests more than {MAX_DEPTH} deep; simplify it")
        match node:
            case ast.Name(id=name):
                return [name]
            case ast.Constant(value=str()):
                return []
            case ast.Constant(value=int() | float() as value):
                if abs(value) > sys.float_info.max:
                    raise InputError(f"{self.field}: holds a number above {sys.float_info.max:.2g}; use smaller ones")
                return []
            case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
                return self._walk(left, depth + 1) + self._walk(right, depth + 1)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in UNARY:
                return self._walk(operand, depth + 1)
            case ast.BoolOp(values=values):
                return [name for value in values for name in self._walk(value, depth + 1)]
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in BINARY:
                return self._walk(left, depth + 1) + self._walk(right, depth + 1)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if FUNCTIONS.get(name, (None,))[0] == len(
                args
            ):
                return [name for argument in args for name in self._walk(argument, depth + 1)]
            case _:
                allowed = f"numbers, columns, + - * / % **, one comparison, and, or, not, {', '.join(FUNCTIONS)}"
                raise InputError(f"{self.field}: {ast.unparse(node)!r} is not allowed in a formula; use {allowed}")

    def require(self, columns: Collection[str]) -> None:
        """Refuse a formula with a name that is not one of these columns.

        Raises
        ------
        InputError
            There is one.
        """
        if missing := sorted(self.names - set(columns)):
            raise InputError(f"{self.field}: {missing[0]!r} is not a column; use one of {', '.join(sorted(columns))}")

    def evaluate(self, columns: Mapping[str, Any]) -> Any:
        """Value of the formula, for scalars or for whole columns; numbers are float64, so a division by 0 gives inf.

        Raises
        ------
        InputError
            A name is not a column, or texts are used as numbers.
        """
        self.require(columns)
        try:
            with np.errstate(all="ignore"):
                return self._value(self._tree, columns)
        except TypeError:
            raise InputError(
                f"{self.field}: {self.text!r} calculates with a text; compare texts with == or !="
            ) from None

    def holds(self, columns: Mapping[str, Any]) -> Any:
        """Truth of a condition, for scalars or for whole columns.

        Raises
        ------
        InputError
            As `evaluate`, or the formula is no condition.
        """
        value = self.evaluate(columns)
        if np.asarray(value).dtype != np.bool_:
            raise InputError(f"{self.field}: {self.text!r} is no condition; compare it, as in area_mm2 < 4")
        return value

    def _value(self, node: ast.AST, columns: Mapping[str, Any]) -> Any:
        match node:
            case ast.Name(id=name):
                return _number(columns[name])
            case ast.Constant(value=str() as text):
                return text
            case ast.Constant(value=int() | float() as number):
                return np.float64(number)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return BINARY[type(op)](self._value(left, columns), self._value(right, columns))
            case ast.BinOp(left=left, op=op, right=right):
                return BINARY[type(op)](self._calculable(left, columns), self._calculable(right, columns))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return np.logical_not(self._condition(operand, columns))
            case ast.UnaryOp(op=op, operand=operand):
                return UNARY[type(op)](self._calculable(operand, columns))
            case ast.BoolOp(op=op, values=[first, *others]):
                result = self._condition(first, columns)
                for other in others:
                    result = BINARY[type(op)](result, self._condition(other, columns))
                return result
            case ast.Call(func=ast.Name(id=name), args=args):
                return FUNCTIONS[name][1](*(self._calculable(argument, columns) for argument in args))
            case _:
                raise AssertionError("_walk lets nothing else pass")

    def _calculable(self, node: ast.AST, columns: Mapping[str, Any]) -> Any:
        """A number, also of a condition; `TypeError` for a text."""
        value = self._value(node, columns)
        if np.asarray(value).dtype.kind not in "bf":
            raise TypeError
        return value + np.float64(0)

    def _condition(self, node: ast.AST, columns: Mapping[str, Any]) -> Any:
        value = self._value(node, columns)
        if np.asarray(value).dtype != np.bool_:
            raise InputError(
                f"{self.field}: {ast.unparse(node)!r} is no condition for and, or, not; compare it, as in area_mm2 < 4"
            )
        return value


def _number(value: Any) -> Any:
    """Numbers as float64; conditions and texts as they are."""
    array = np.asarray(value)
    if array.dtype == np.bool_:
        return value
    if array.dtype.kind in "OUST":
        return value if array.ndim == 0 else np.asarray(value, dtype=object)
    return np.float64(value) if array.ndim == 0 else array.astype(np.float64)
