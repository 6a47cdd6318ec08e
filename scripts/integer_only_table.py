"""Tables of docs/integer_only.md: perplexity of the built-in model in FP16, fake-quantised and in integers.

``python scripts/integer_only_table.py [--blocks 16] [--ablations | --learned]`` prints one of the three tables;
``--update docs/integer_only.md`` writes it into the page.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from anda_codesign.experiments.inputs import factor_cache
from anda_codesign.experiments.markdown import markdown_table, renew_page
from anda_codesign.workloads import Decoder, Fp16Activations, PairedLoss, load_blocks, load_decoder, paired_loss
from anda_codesign.workloads.integer_only.decoder import IntegerDecoder
from anda_codesign.workloads.integer_only.float_reference import FakeQuantDecoder
from anda_codesign.workloads.integer_only.fsbr import TRAINING_BLOCKS, TRAINING_TOKENS, FsbrTraining, learned_blocks
from anda_codesign.workloads.integer_only.smoothed_blocks import float_blocks, smoothed_blocks
from anda_codesign.workloads.integer_only.weights import CALIBRATION_BLOCKS, IntegerConfig, IntegerDecoderWeights

WIDTHS = (8, 6, 4)
ABLATIONS: dict[str, dict[str, Any]] = {
    "codes anchored at the row minimum (paper)": {"anchor": "minimum"},
    "8-bit probabilities (paper)": {"probability_bits": 8},
    "8-bit sigmoid (paper)": {"sigmoid_bits": 8},
    "no guard bits in DI-Exp (paper)": {"guard_bits": 0},
    "sigmoid relative to the row maximum (paper)": {"sigmoid_form": "shared_max"},
    "all five": {
        "anchor": "minimum",
        "probability_bits": 8,
        "sigmoid_bits": 8,
        "guard_bits": 0,
        "sigmoid_form": "shared_max",
    },
    "24-bit residual stream": {"residual_bits": 24},
}


class Study:
    """Losses of one model on one set of blocks, relative to FP16 activations."""

    def __init__(self, decoder: Decoder, blocks: int) -> None:
        self._decoder = decoder
        self._tokens = load_blocks(decoder.tokenizer, split="heldout", blocks=blocks).tokens
        self._smoothed = smoothed_blocks(decoder, load_blocks(decoder.tokenizer, blocks=CALIBRATION_BLOCKS).tokens)
        self._plain = float_blocks(decoder.weights)
        self.reference = decoder.nll(self._tokens, Fp16Activations())

    def learned(self, bits: int, epochs: int) -> tuple[PairedLoss, PairedLoss]:
        """Losses of fake quantisation and of integers with learned factors and clipping."""
        config = IntegerConfig(weight_bits=bits, activation_bits=bits)
        text = load_blocks(self._decoder.tokenizer, tokens=TRAINING_TOKENS, blocks=TRAINING_BLOCKS)
        blocks = learned_blocks(self._decoder, text, config, FsbrTraining(epochs=epochs), factor_cache())
        fake = FakeQuantDecoder(self._decoder.weights, blocks, config)
        integer = IntegerDecoder(IntegerDecoderWeights.quantize(self._decoder.weights, blocks, config))
        return self._loss(fake), self._loss(integer)

    def _loss(self, model: FakeQuantDecoder | IntegerDecoder) -> PairedLoss:
        return paired_loss(model.nll(self._tokens), self.reference)

    def integer(self, bits: int, smooth: bool = True, **options: Any) -> PairedLoss:
        config = replace(IntegerConfig(weight_bits=bits, activation_bits=bits), **options)
        weights = IntegerDecoderWeights.quantize(
            self._decoder.weights, self._smoothed if smooth else self._plain, config
        )
        return paired_loss(IntegerDecoder(weights).nll(self._tokens), self.reference)

    def fake(self, bits: int, smooth: bool = True) -> PairedLoss:
        config = IntegerConfig(weight_bits=bits, activation_bits=bits)
        blocks = self._smoothed if smooth else self._plain
        return paired_loss(FakeQuantDecoder(self._decoder.weights, blocks, config).nll(self._tokens), self.reference)


def main_rows(study: Study) -> Iterator[tuple[str, list[PairedLoss]]]:
    yield "fake quantisation, not smoothed", [study.fake(bits, smooth=False) for bits in WIDTHS]
    yield "fake quantisation, smoothed", [study.fake(bits) for bits in WIDTHS]
    yield "integer-only, not smoothed", [study.integer(bits, smooth=False) for bits in WIDTHS]
    yield "integer-only, smoothed", [study.integer(bits) for bits in WIDTHS]


def learned_rows(study: Study, widths: Sequence[int], epochs: int) -> Iterator[tuple[str, list[PairedLoss]]]:
    fake, integer = zip(*(study.learned(bits, epochs) for bits in widths), strict=True)
    yield "fake quantisation, learned", list(fake)
    yield "integer-only, learned", list(integer)


def ablation_rows(study: Study) -> Iterator[tuple[str, list[PairedLoss]]]:
    yield "integer-only, smoothed", [study.integer(bits) for bits in WIDTHS]
    for name, options in ABLATIONS.items():
        yield name, [study.integer(bits, **options) for bits in WIDTHS]


def show(loss: PairedLoss) -> str:
    spread = "" if isnan(loss.standard_error) else f" ± {100 * loss.standard_error:.1f}"
    return f"{loss.perplexity:.2f} ({100 * loss.loss:+.1f} %{spread})"


def table(study: Study, rows: Iterator[tuple[str, list[PairedLoss]]], widths: Sequence[int], blocks: int) -> str:
    perplexity = np.exp(study.reference.mean())
    title = (
        f"FP16 activations: perplexity {perplexity:.3f} on {blocks} held-out block{'s' * (blocks > 1)} of 512 tokens."
    )
    columns = ["", *(f"W{bits}A{bits}" for bits in widths)]
    return f"{title}\n\n{markdown_table(columns, ([name, *map(show, losses)] for name, losses in rows))}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=16, help="held-out blocks of 512 tokens")
    parser.add_argument("--ablations", action="store_true", help="the forms of the paper, one at a time")
    parser.add_argument("--learned", action="store_true", help="factors and clipping learned by FSBR (needs torch)")
    parser.add_argument("--epochs", type=int, default=FsbrTraining().epochs, help="passes over the text that learn")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS, help="bits to learn for")
    parser.add_argument("--update", type=Path, metavar="PAGE", help="write the table into this page")
    arguments = parser.parse_args()
    study, name, widths = Study(load_decoder(), arguments.blocks), "widths", WIDTHS
    rows = main_rows(study)
    if arguments.learned:
        name, widths = "learned", arguments.widths
        rows = learned_rows(study, widths, arguments.epochs)
    elif arguments.ablations:
        name, rows = "ablations", ablation_rows(study)
    text = table(study, rows, widths, arguments.blocks)
    print(text)
    if arguments.update is not None:
        renew_page(arguments.update, {name: lambda: text})


if __name__ == "__main__":
    main()
