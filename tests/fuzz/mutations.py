"""Seeded mutations of bytes, texts and JSON trees, with values that break careless readers."""

import copy
import json
import re
from random import Random
from typing import Any

DEEP = "@deep@"
"""Stands for 3,000 nested lists, which `json.dumps` cannot write itself."""

VALUES: list[Any] = [
    *(None, True, False, -1, 0, 1, 3, 65, 1 << 31, 1 << 60, (1 << 63) - 1, 1 << 64, 10**30, 10**400),
    *(0.0, -0.5, 1.5, 1e-320, 1e18, 1e308, float("nan"), float("inf"), float("-inf")),
    *("", " ", "x", "1", "true", "../x", "/etc/passwd", "a\x00b", "9" * 400, "é\ud800"),
    *([], {}, [[]], [None], [0] * 65, [1 << 60, 0], {"x": 1}, [True], ["x"], DEEP),
]
WORDS = [
    *("{", "}", "[", "]", "(", ")", ":", ",", ";", '"', "'", "#", "&a ", "*a", "<<: ", "!!int ", "!!timestamp ", "- "),
    *(
        "-",
        "+",
        ".",
        "0",
        "-1",
        "0x1F",
        "0100",
        "1e999",
        "1e-320",
        ".inf",
        ".nan",
        "nan",
        "true",
        "~",
        "null",
        "9" * 5000,
    ),
    *("\n", "\r\n", "\t", "\\", "\x00", "\u2028", "/*", "*/", "((((((((((" * 300, "[" * 3000, "!" * 3000, "x", "é"),
]
_TOKEN = re.compile(r"\w+|\s+|.", re.DOTALL)


def mutate_bytes(rng: Random, data: bytes, head: int | None = None) -> bytes:
    """One to four edits; half of them lie in the first `head` bytes."""
    for _ in range(rng.randint(1, 4)):
        size = min(head, len(data)) if head is not None and rng.random() < 0.5 else len(data)
        at = rng.randrange(size + 1)
        length = rng.choice([1, 1, 2, 4, 8, 64])
        match rng.randrange(7):
            case 0 if at < len(data):
                data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
            case 1:
                data = data[:at] + rng.randbytes(length) + data[at + length :]
            case 2:
                data = data[:at] + rng.choice([b"\x00", b"\xff", b"\x7f"]) * length + data[at + length :]
            case 3:
                data = data[:at] + rng.randbytes(length) + data[at:]
            case 4:
                data = data[:at] + data[at + length :]
            case 5 if rng.random() < 0.3:
                data = data[:at]
            case _:
                number = rng.choice([0, 1, -1, 1 << 31, 1 << 60, (1 << 63) - 1, -(1 << 62)])
                data = data[:at] + (number & (1 << 64) - 1).to_bytes(8, "little") + data[at + 8 :]
    return data


def mutate_text(rng: Random, text: str) -> str:
    """One to three edits of words and lines."""
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.3:
            lines = text.splitlines(keepends=True) or [""]
            at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
            match rng.randrange(4):
                case 0:
                    del lines[at]
                case 1:
                    lines.insert(other, lines[at])
                case 2:
                    lines[at] = lines[at].replace("\n", "\r\n")
                case _:
                    lines[at] = "  " + lines[at]
            text = "".join(lines)
            continue
        tokens = _TOKEN.findall(text) or [""]
        at = rng.randrange(len(tokens))
        tokens[at : at + rng.choice([0, 1, 1, 1, 3])] = rng.choice([[rng.choice(WORDS)], [], [rng.choice(tokens)]])
        text = "".join(tokens)
    return text


def mutate_tree(rng: Random, tree: Any) -> Any:
    """One or two entries of a JSON tree replaced, removed, renamed or moved."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.randint(1, 2)):
        places = list(_places(tree))
        if not places:
            return rng.choice(VALUES)
        parent, key = rng.choice(places)
        match rng.randrange(6):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[rng.choice(["", "x", str(key) + "x", "1"])] = parent.pop(key)
            case 2:
                other, name = rng.choice(places)
                parent[key] = copy.deepcopy(other[name])
            case 3 if isinstance(parent[key], int) and not isinstance(parent[key], bool):
                parent[key] += rng.choice([-1, 1, -parent[key], parent[key]])
            case _:
                parent[key] = copy.deepcopy(rng.choice(VALUES))
    return rng.choice(VALUES) if rng.random() < 0.02 else tree


def mutate_json(rng: Random, text: str) -> str:
    """A JSON text: its tree mutated, or now and then its characters."""
    if rng.random() < 0.2:
        return mutate_text(rng, text)
    return dump(mutate_tree(rng, json.loads(text)))


def dump(tree: Any) -> str:
    return json.dumps(tree).replace(f'"{DEEP}"', "[" * 3000 + "]" * 3000)


def _places(tree: Any) -> Any:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from _places(value)
