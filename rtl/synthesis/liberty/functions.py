"""Boolean functions in Liberty syntax, such as ``!A * (B + C')``.

Operators by falling precedence, as in the Liberty manual: ``!`` and ``'`` invert; ``^`` is XOR; ``*``, ``&`` and a space
are AND; ``+`` and ``|`` are OR.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ....formats import InputError

Sense = Literal["positive_unate", "negative_unate", "non_unate"]

_TOKEN = re.compile(r"\s*([A-Za-z_]\w*(?:\[\d+\])?|[01]|[()!'*&+|^])", re.ASCII)
_OPERATORS = ({"+": "|", "|": "|"}, {"*": "&", "&": "&"}, {"^": "^"})
"""Operators by rising precedence, with their signs in Verilog and Python."""
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
        Expression in the signs that Verilog and Python share, with the number of each input in braces.
    inputs : `tuple` of `str`
        Names of the inputs, in order of appearance.
    """

    template: str
    inputs: tuple[str, ...]

    def verilog(self, nets: Mapping[str, str]) -> str:
        """Verilog expression of the function of these nets."""
        return self.template.format(*(nets[name] for name in self.inputs))

    @cached_property
    def table(self) -> tuple[bool, ...]:
        """Truth table: values for all inputs, where the last input changes fastest."""
        rows = 1 << len(self.inputs)
        # all rows at once: bit r of an integer is the value in row r
        columns = {
            f"x{number}": ((1 << rows) - 1) // ((1 << span) + 1) << span
            for number, span in enumerate(1 << place for place in reversed(range(len(self.inputs))))
        }
        values = int(eval(self.template.format(*columns).replace("1'b1", "-1").replace("1'b0", "0"), {}, columns))
        return tuple(bool(values >> row & 1) for row in range(rows))

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
    template = parser.expression(0, 0)
    if parser.rest:
        raise _error(text)
    return Function(template, inputs)


class _Parser:
    """Recursive descent over tokens."""

    def __init__(self, text: str, tokens: Sequence[str], inputs: tuple[str, ...]) -> None:
        self._text, self._inputs = text, inputs
        self.rest = list(reversed(tokens))
        """Tokens that are not read yet, the next one last."""

    def expression(self, precedence: int, levels: int) -> str:
        """Read an expression of one level of precedence."""
        if precedence == len(_OPERATORS):
            return self._operand(levels + 1)
        parts = [self.expression(precedence + 1, levels)]
        signs = _OPERATORS[precedence]
        while self.rest and (self.rest[-1] in signs or (precedence == _AND and self.rest[-1] not in "+|)")):
            parts.append(signs[self.rest.pop()] if self.rest[-1] in signs else "&")
            parts.append(self.expression(precedence + 1, levels))
        return f"({' '.join(parts)})" if len(parts) > 1 else parts[0]

    def _operand(self, levels: int) -> str:
        """Read a name, constant, inversion or parenthesis."""
        if levels > MOST_LEVELS:
            raise InputError(f"liberty: {_short(self._text)} is nested deeper than {MOST_LEVELS} levels; simplify it")
        token = self.rest.pop() if self.rest else ""
        if token == "!":
            return f"(~{self._operand(levels + 1)})"
        if token == "(":
            inner = self.expression(0, levels)
            if not self.rest or self.rest.pop() != ")":
                raise _error(self._text)
        elif token in ("0", "1"):
            inner = "1'b" + token
        elif token in self._inputs:
            inner = f"{{{self._inputs.index(token)}}}"
        else:
            raise _error(self._text)
        while self.rest and self.rest[-1] == "'":
            self.rest.pop()
            inner = inner[2:-1] if inner.startswith("(~") else f"(~{inner})"
        return inner


def _error(text: str) -> InputError:
    return InputError(f"liberty: {_short(text)} is not a Boolean function; fix the library")


def _short(text: str) -> str:
    return repr(text if len(text) <= MOST_TOKENS else f"{text[:100]}…")
