"""Formulas over the columns of a result: derived metrics and constraints.

Arithmetic, comparisons, ``and``/``or``/``not``, a few functions, numbers and quoted texts; nothing else of Python.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from ...formats import InputError

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
}


MAX_CHARACTERS = 500
"""Longest formula, in characters; longer ones could nest deeper than Python recurses."""


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

    def _walk(self, node: ast.AST) -> list[str]:
        """The column names under a node, which must be of the kinds that `_value` knows."""
        match node:
            case ast.Name(id=name):
                return [name]
            case ast.Constant(value=int() | float() | str()):
                return []
            case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
                return self._walk(left) + self._walk(right)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in UNARY:
                return self._walk(operand)
            case ast.BoolOp(values=values):
                return [name for value in values for name in self._walk(value)]
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in BINARY:
                return self._walk(left) + self._walk(right)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if FUNCTIONS.get(name, (None,))[0] == len(
                args
            ):
                return [name for argument in args for name in self._walk(argument)]
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

    def _value(self, node: ast.AST, columns: Mapping[str, Any]) -> Any:
        match node:
            case ast.Name(id=name):
                return _number(columns[name])
            case ast.Constant(value=value):
                return _number(value)
            case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
                return BINARY[type(op)](self._value(left, columns), self._value(right, columns))
            case ast.UnaryOp(op=op, operand=operand):
                return UNARY[type(op)](self._value(operand, columns))
            case ast.BoolOp(op=op, values=[first, *others]):
                result = self._value(first, columns)
                for other in others:
                    result = BINARY[type(op)](result, self._value(other, columns))
                return result
            case ast.Call(func=ast.Name(id=name), args=args):
                return FUNCTIONS[name][1](*(self._value(argument, columns) for argument in args))
            case _:
                raise AssertionError("_walk lets nothing else pass")


def _number(value: Any) -> Any:
    """Numbers as float64, texts as they are."""
    array = np.asarray(value)
    if array.dtype.kind in "OUST":
        return value if array.ndim == 0 else np.asarray(value, dtype=object)
    return np.float64(value) if array.ndim == 0 else array.astype(np.float64)
