"""Boolean functions in Liberty syntax, such as ``!A * (B + C')``. AND is ``*``, ``&`` or a space; OR is ``+`` or ``|``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from ....formats import InputError

_TOKEN = re.compile(r"\s*([A-Za-z_]\w*(?:\[\d+\])?|[01]|[()!'*&+|^])")
_OPERATORS = ({"+": "|", "|": "|"}, {"^": "^"}, {"*": "&", "&": "&"})
"""Operators by rising precedence, with their signs in Verilog and Python."""


@dataclass(frozen=True)
class Function:
    """Boolean function of named inputs.

    Attributes
    ----------
    template : `str`
        Expression in the signs that Verilog and Python share, with each name in braces.
    inputs : `tuple` of `str`
        Names of the inputs, in order of appearance.
    """

    template: str
    inputs: tuple[str, ...]

    def verilog(self, nets: Mapping[str, str]) -> str:
        """Verilog expression of the function of these nets."""
        return self.template.format_map(nets)

    @cached_property
    def table(self) -> tuple[bool, ...]:
        """Truth table: values for all inputs, where the last input changes fastest."""
        code = self.template.format_map({name: name.join("__") for name in self.inputs}).replace("1'b", "")
        program = compile(code, "<liberty>", "eval")
        names = [name.join("__") for name in self.inputs]
        rows = product((False, True), repeat=len(names))
        return tuple(bool(eval(program, {}, dict(zip(names, row, strict=True))) & 1) for row in rows)

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
        The text is not a Boolean function.
    """
    tokens = _tokens(text)
    template, rest = _expression(tokens, 0, text)
    if rest:
        raise _error(text)
    return Function(template, tuple(dict.fromkeys(token for token in tokens if token[0].isalpha() or token[0] == "_")))


def _tokens(text: str) -> list[str]:
    tokens: list[str] = _TOKEN.findall(text)
    if "".join(tokens) != re.sub(r"\s", "", text):
        raise _error(text)
    return tokens


def _expression(tokens: list[str], level: int, text: str) -> tuple[str, list[str]]:
    """Parse an expression of one level of precedence; return it and the remaining tokens."""
    if level == len(_OPERATORS):
        return _operand(tokens, text)
    left, tokens = _expression(tokens, level + 1, text)
    parts = [left]
    signs = _OPERATORS[level]
    while tokens and (tokens[0] in signs or (level == 2 and tokens[0] not in "+|^)")):
        parts.append(signs.get(tokens[0], "&"))
        right, tokens = _expression(tokens[tokens[0] in signs :], level + 1, text)
        parts.append(right)
    return (f"({' '.join(parts)})" if len(parts) > 1 else left), tokens


def _operand(tokens: list[str], text: str) -> tuple[str, list[str]]:
    """Parse a name, constant, inversion or parenthesis; return it and the remaining tokens."""
    if not tokens:
        raise _error(text)
    token, *rest = tokens
    if token == "!":
        inner, rest = _operand(rest, text)
        return f"(~{inner})", rest
    if token == "(":
        inner, rest = _expression(rest, 0, text)
        if not rest or rest.pop(0) != ")":
            raise _error(text)
    elif token in "01":
        inner = "1'b" + token
    elif token[0].isalpha() or token[0] == "_":
        inner = f"{{{token}}}"
    else:
        raise _error(text)
    while rest and rest[0] == "'":
        inner, rest = f"(~{inner})", rest[1:]
    return inner, rest


def _error(text: str) -> InputError:
    return InputError(f"liberty: {text!r} is not a Boolean function; fix the library")
