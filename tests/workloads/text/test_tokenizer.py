import numpy as np
import pytest
from anda_codesign.workloads import Decoder, Tokenizer
from anda_codesign.workloads.text.blocks import read_text
from anda_codesign.workloads.text.tokenizer import byte_characters
from hypothesis import given
from hypothesis import strategies as st

MERGES = ["a b", "Ġ ab", "b c", "ab ab", "ab c"]
TOKENIZER = Tokenizer([*byte_characters(), *(merge.replace(" ", "") for merge in MERGES)], MERGES)


def parts(text: str) -> list[str]:
    return [TOKENIZER.decode([number]) for number in TOKENIZER.encode(text)]


def test_merges_in_rank_order_inside_words():
    cases = [
        ("abc", ["abc"]),
        ("bc", ["bc"]),
        ("xabab", ["x", "abab"]),
        ("ababab", ["abab", "ab"]),
        (" abc", [" ab", "c"]),
        ("aabb", ["a", "ab", "b"]),
        ("", []),
        ("ab1ab", ["ab", "1", "ab"]),
        ("ab 12", ["ab", " ", "1", "2"]),
        ("ab's", ["ab", "'", "s"]),
        ("ab  ab", ["ab", " ", " ab"]),
        ("ab\n\nab", ["ab", "\n", "\n", "ab"]),
    ]
    for text, expected in cases:
        assert parts(text) == expected


@given(st.text())
def test_round_trip(text: str):
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_256_bytes_have_different_printable_characters():
    characters = byte_characters()
    assert len(set(characters)) == 256
    assert all(character.isprintable() and not character.isspace() for character in characters)


def test_a_cut_character_becomes_a_replacement():
    ids = TOKENIZER.encode("é")
    assert TOKENIZER.decode(ids[:1]) == "\ufffd"


def test_ids_are_int32():
    assert TOKENIZER.encode("abc").dtype == np.int32
    assert len(TOKENIZER) == 256 + len(MERGES)


@pytest.mark.model
def test_smollm2_ids(smollm2: Decoder):
    text = "In 1905,  Einstein's naïve café\n\nwrote 42 π≈3.14 日本"
    expected = [788, 216, 33, 41, 32, 37, 28, 216, 16211, 506, 15486, 46494, 37366, 198, 198, 103, 3802, 216, 36, 34]
    expected += [25143, 40533, 226, 35, 30, 33, 36, 17097, 241, 115, 40993]
    assert smollm2.tokenizer.encode(text).tolist() == expected
    assert len(smollm2.tokenizer) == smollm2.shape.vocabulary


@pytest.mark.model
def test_smollm2_round_trip(smollm2: Decoder):
    text = read_text("wiki", "heldout")[:200_000]
    assert smollm2.tokenizer.decode(smollm2.tokenizer.encode(text)) == text


@pytest.mark.model
def test_every_smollm2_token_decodes(smollm2: Decoder):
    for number in range(len(smollm2.tokenizer)):
        assert smollm2.tokenizer.decode([number])
