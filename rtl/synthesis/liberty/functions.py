"""Boolean functions in Liberty syntax, such as ``!A * (B + C')``.

Operators by falling precedence, as in the Liberty manual: ``!`` and ``'`` invert; ``^`` is XOR; ``*``, ``&`` and a space
are AND; ``+`` and ``|`` are OR.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import and_, or_, xor
from typing import Literal, NamedTuple

from ....formats import InputError

Sense = Literal["positive_unate", "negative_unate", "non_unate"]

_TOKEN = re.compile(r"\s*([A-Za-z_]\w*(?:\[\d+\])?|[01]|[()!'*&+|^])", re.ASCII)
_OPERATORS = (("+|", "|", or_), ("*&", "&", and_), ("^", "^", xor))
"""Operators by rising precedence: signs in Liberty, sign in Verilog, and what they do with the bits of integers."""
_AND = 1
"""Level of AND, which needs no sign."""
MOST_INPUTS = 16
MOST_TOKENS = 1000
MOST_LEVELS = 30


@dataclass(frozen=True)
class Function:
    """Boolean function of named inputs.

    Attributes
    ----------
    template : `str`
        Expression in Verilog, with the number of each input in braces.
    inputs : `tuple` of `str`
        Names of the inputs, in order of appearance.
    values : `int`
        Truth table: bit r is the value in row r, with the last input changing fastest.
    """

    template: str
    inputs: tuple[str, ...]
    values: int

    def verilog(self, nets: Mapping[str, str]) -> str:
        """Verilog expression of the function of these nets."""
        return self.template.format(*(nets[name] for name in self.inputs))

    @cached_property
    def table(self) -> tuple[bool, ...]:
        """Truth table: values for all inputs, where the last input changes fastest."""
        return tuple(bool(self.values >> row & 1) for row in range(1 << len(self.inputs)))

    def sense(self, name: str) -> Sense:
        """Unateness of the function in an input, the default of ``timing_sense``."""
        place = self.inputs.index(name)
        low, high = self._cofactor(place, 0), self._cofactor(place, 1)
        if all(a <= b for a, b in zip(low, high, strict=True)):
            return "positive_unate"
        return "negative_unate" if all(a >= b for a, b in zip(low, high, strict=True)) else "non_unate"

    @property
    def is_parity(self) -> bool:
        """True for XOR and XNOR of two or more inputs: a change of any input always changes the output."""
        count = len(self.inputs)
        return count > 1 and all(
            value != self.table[index ^ (1 << bit)] for index, value in enumerate(self.table) for bit in range(count)
        )

    @property
    def is_multiplexer(self) -> bool:
        """True if one of three inputs selects one of the two others, inverted or not."""
        if len(self.inputs) != 3:
            return False
        return any(
            {self._cofactor(select, 0), self._cofactor(select, 1)} in _SELECTIONS for select in range(len(self.inputs))
        )

    def _cofactor(self, position: int, value: int) -> tuple[bool, ...]:
        bit = 1 << (len(self.inputs) - 1 - position)
        return tuple(result for index, result in enumerate(self.table) if bool(index & bit) == bool(value))


_LEFT, _RIGHT = (False, False, True, True), (False, True, False, True)
_SELECTIONS = (
    {_LEFT, _RIGHT},
    {tuple(not bit for bit in _LEFT), tuple(not bit for bit in _RIGHT)},
)


def parse_function(text: str) -> Function:
    """Parse a function in Liberty syntax.

    Raises
    ------
    InputError
        The text is not a Boolean function, or is too large.
    """
    tokens: list[str] = _TOKEN.findall(text)
    if "".join(tokens) != re.sub(r"\s", "", text):
        raise _error(text)
    inputs = tuple(dict.fromkeys(token for token in tokens if token[0].isalpha() or token[0] == "_"))
    for count, most, unit in ((len(inputs), MOST_INPUTS, "inputs"), (len(tokens), MOST_TOKENS, "signs")):
        if count > most:
            raise InputError(f"liberty: {_short(text)} has {count} {unit}; give a function of at most {most}")
    parser = _Parser(text, tokens, inputs)
    parsed = parser.expression(0, 0)
    if parser.rest:
        raise _error(text)
    return Function(parsed.template, inputs, parsed.values)


class _Expression(NamedTuple):
    """Part of a function: its template, and its values in all rows of the truth table as the bits of an integer."""

    template: str
    values: int


class _Parser:
    """Recursive descent over tokens."""

    def __init__(self, text: str, tokens: Sequence[str], inputs: tuple[str, ...]) -> None:
        self._text, self._inputs = text, inputs
        self._all = (1 << (1 << len(inputs))) - 1
        self.rest = list(reversed(tokens))
        """Tokens that are not read yet, the next one last."""

    def expression(self, precedence: int, levels: int) -> _Expression:
        """Read an expression of one level of precedence."""
        if precedence == len(_OPERATORS):
            return self._operand(levels + 1)
        signs, sign, apply = _OPERATORS[precedence]
        parts = [self.expression(precedence + 1, levels)]
        while self.rest and (self.rest[-1] in signs or (precedence == _AND and self.rest[-1] not in "+|)")):
            if self.rest[-1] in signs:
                self.rest.pop()
            parts.append(self.expression(precedence + 1, levels))
        if len(parts) == 1:
            return parts[0]
        template = f" {sign} ".join(part.template for part in parts)
        return _Expression(f"({template})", reduce(apply, (part.values for part in parts)))

    def _operand(self, levels: int) -> _Expression:
        """Read a name, constant, inversion or parenthesis."""
        if levels > MOST_LEVELS:
            raise InputError(f"liberty: {_short(self._text)} is nested deeper than {MOST_LEVELS} levels; simplify it")
        token = self.rest.pop() if self.rest else ""
        if token == "!":
            inner = self._operand(levels + 1)
            return _Expression(f"(~{inner.template})", self._all ^ inner.values)
        if token == "(":
            inner = self.expression(0, levels)
            if not self.rest or self.rest.pop() != ")":
                raise _error(self._text)
        elif token in ("0", "1"):
            inner = _Expression("1'b" + token, int(token) * self._all)
        elif token in self._inputs:
            inner = self._input(self._inputs.index(token))
        else:
            raise _error(self._text)
        while self.rest and self.rest[-1] == "'":
            self.rest.pop()
            inner = self._inverse(inner)
        return inner

    def _input(self, number: int) -> _Expression:
        span = 1 << (len(self._inputs) - 1 - number)
        return _Expression(f"{{{number}}}", self._all // ((1 << span) + 1) << span)

    def _inverse(self, inner: _Expression) -> _Expression:
        plain = inner.template
        template = plain[2:-1] if plain.startswith("(~") else f"(~{plain})"
        return _Expression(template, self._all ^ inner.values)


def _error(text: str) -> InputError:
    return InputError(f"liberty: {_short(text)} is not a Boolean function; fix the library")


def _short(text: str) -> str:
    return repr(text if len(text) <= MOST_TOKENS else f"{text[:100]}…")
