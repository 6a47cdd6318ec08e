"""Formats of a user's own that say something impossible: one line that names the member and the fix."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError
from anda_codesign.formats.activations.honesty import verify
from anda_codesign.formats.activations.registry import activation_format_modes, activation_formats
from anda_codesign.formats.activations.stored import stored
from anda_codesign.formats.named_format import NamedFormat
from anda_codesign.sim import load_architecture


@dataclass(frozen=True)
class Halves:
    """The upper byte of FP16, or what a test makes of it."""

    name: ClassVar[str] = "halves"
    source: ClassVar[str] = "this test"
    bits_per_value: Any = 8
    cycles_per_group: Any = 8
    group_size: Any = 64
    shared_bits: Any = 0

    @property
    def parameters(self) -> dict[str, Any]:
        return {}

    def encode(self, x: Any) -> "Upper":
        return Upper((x.view(np.uint16) >> 8).astype(np.uint8))


@dataclass(frozen=True, eq=False)
class Upper:
    bytes: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return self.bytes.shape

    def decode(self) -> Any:
        return (self.bytes.astype(np.uint16) << 8).view(np.float16)

    def to_bytes(self) -> Any:
        return b"head" + self.bytes.tobytes()


def test_an_honest_format_is_stored():
    assert stored(Halves()).group_bits == 8 * 64


CASES: dict[str, dict[str, Any]] = {
    "bits_per_value of halves is -3": {"bits_per_value": -3},
    "bits_per_value of halves is nan": {"bits_per_value": float("nan")},
    "bits_per_value of halves is inf": {"bits_per_value": float("inf")},
    "bits_per_value of halves is '8'": {"bits_per_value": "8"},
    "bits_per_value of halves is True": {"bits_per_value": True},
    "bits_per_value of halves is 1000": {"bits_per_value": 1000},
    "cycles_per_group of halves: 0 is not valid": {"cycles_per_group": 0},
    "cycles_per_group of halves: 2.5 is not valid": {"cycles_per_group": 2.5},
    "cycles_per_group of halves: 1000000000000 is not valid": {"cycles_per_group": 10**12},
    "group_size of halves: -1 is not valid": {"group_size": -1},
    "group_size of halves: None is not valid": {"group_size": None},
    "shared_bits of halves is 512, of 512 bits of a group": {"shared_bits": 512},
    "halves packs 8 bits a value and says 6": {"bits_per_value": 6},
}


@pytest.mark.parametrize("message", CASES)
def test_a_wrong_member_is_named(message: str):
    with pytest.raises(InputError) as error:
        load_architecture("anda").with_activations(Halves(**CASES[message]))
    assert str(error.value).startswith(f"activations: {message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        (lambda self: self.bytes, "halves decodes [64, 2048] to uint8 [64, 2048]"),
        (lambda self: None, "halves decodes [64, 2048] to NoneType"),
        (lambda self: np.zeros(3, np.float16), "halves decodes [64, 2048] to float16 [3]"),
        (lambda self: np.full(self.shape, np.inf, np.float32), "halves decodes finite values to infinity or NaN"),
        (lambda self: 1 / 0, "halves cannot encode a sample of [64, 2048] float16 values (ZeroDivisionError"),
    ],
)
def test_a_tensor_that_is_none(monkeypatch: pytest.MonkeyPatch, decode: Any, message: str):
    monkeypatch.setattr(Upper, "decode", decode)
    with pytest.raises(InputError) as error:
        verify(Halves())  # type: ignore[arg-type]
    assert str(error.value).startswith(f"activations: {message}")


def test_bytes_that_are_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Upper, "to_bytes", lambda self: 1 / 0)
    with pytest.raises(
        InputError, match=r"^activations: halves cannot pack a sample of \[64, 2048\] .*ZeroDivisionError"
    ):
        verify(Halves())  # type: ignore[arg-type]


def test_values_are_counted_where_nothing_is_packed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(Upper, "to_bytes")
    verify(Halves())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="says 4 bits a value, and an element takes"):
        verify(Halves(bits_per_value=4))  # type: ignore[arg-type]


def test_the_formats_of_the_package_keep_their_word():
    for name in activation_formats():
        for fmt in activation_format_modes(name):
            if getattr(fmt, "needs_compressor", True):
                verify(fmt)
    verify(AndaFormat(7, group_size=128))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "activations: '' is not valid; choose one of fp16"),
        ("anda mantissa_bits=99", "activations: anda: mantissa_bits: 99 is not valid; choose an integer from 1 to 16"),
        ("mxint8 group_size=0", "activations: mxint8: group_size: 0 is not valid"),
        ("mxint8 size=3", "activations: mxint8: size: is not a parameter of mxint8; use one of group_size"),
        ("mxint8 group_size=2 group_size=4", "activations: 'mxint8 group_size=2 group_size=4' gives a parameter twice"),
        ("os:system", "activations: 'os:system' names a module, and data files run no code"),
    ],
)
def test_texts_that_name_nothing(text: str, message: str):
    with pytest.raises(InputError) as error:
        NamedFormat.read(text, "activations")
    assert str(error.value).startswith(message)
