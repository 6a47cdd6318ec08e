"""Print losses of mantissa widths on held-out text, with errors, other measures and verdicts; then losses by position.

``python scripts/accuracy_table.py --tokens 512 --of 64 --blocks 32 7 8 7,6,7,7`` takes the first 32 of 64 evenly spaced
blocks, in the order in which the sequential test takes them. Finished blocks are kept, so that it can be interrupted.
"""

from __future__ import annotations

import argparse
import itertools

import pandas as pd
from anda_codesign.experiments.inputs import evaluation_cache
from anda_codesign.experiments.markdown import markdown_table
from anda_codesign.experiments.precisions import as_precision
from anda_codesign.experiments.study.figures import study_figure
from anda_codesign.workloads import (
    AndaActivations,
    Fp16Activations,
    TextBlocks,
    load_decoder,
    paired_loss,
)
from anda_codesign.workloads.evaluation.scores import Scorer, compare_scores
from anda_codesign.workloads.evaluation.sequential import decide, looks_of, spread_order
from anda_codesign.workloads.evaluation.statistics import Estimate

TOLERANCE = 0.01


def percent(estimate: Estimate) -> str:
    """A fraction and half of its 95 % t interval, in percent."""
    return f"{100 * estimate.value:+.2f} ± {100 * estimate.half_width():.2f}"


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("precisions", nargs="+", help="7 or 7,6,7,7")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--of", type=int, default=64, help="blocks that are spread over the text")
    parser.add_argument("--blocks", type=int, default=64, help="blocks taken of these")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--plot", help="figure of the losses by position")
    asked = parser.parse_args()
    decoder = load_decoder(asked.model)
    scorer = Scorer(decoder, evaluation_cache())
    every = decoder.blocks("wiki", "heldout", asked.tokens, asked.of).tokens
    blocks = TextBlocks(every[spread_order(asked.of)[: asked.blocks]])
    reference = scorer.score(blocks, Fp16Activations())
    own = {text: scorer.score(blocks, AndaActivations(as_precision(text))) for text in asked.precisions}
    rows: list[list[str]] = []
    for text, scores in own.items():
        found = compare_scores(scores, reference)
        first = paired_loss(scores.nll, own[asked.precisions[0]].nll).estimate
        verdict = decide(found.loss.estimate, TOLERANCE, len(looks_of(asked.blocks)))
        rows.append(
            [
                text,
                percent(found.loss.estimate),
                f"{found.kl.value:.5f} ± {found.kl.half_width():.5f}",
                f"{100 * found.top1.value:.2f}",
                percent(found.tempered),
                "" if text == asked.precisions[0] else percent(first),
                verdict,
            ]
        )
    titles = ["M", "loss %", "KL nats", "top-1 changed %", "tempered loss %", f"over {asked.precisions[0]} %", "1 %"]
    print(
        f"{asked.model}, {asked.blocks} blocks of {asked.tokens} tokens, held-out Wikipedia; ± is half the 95 % t interval.\n"
    )
    print(markdown_table(titles, rows, 1))
    bounds = [1, *itertools.takewhile(lambda bound: bound < asked.tokens, (64 * 2**i for i in range(32))), asked.tokens]
    print("\nLoss by position of the token in its block (%):\n")
    rows, points = [], []
    for first_position, end in itertools.pairwise(bounds):
        part = slice(first_position - 1, end - 1)
        found = {text: paired_loss(s.nll[:, part], reference.nll[:, part]).estimate for text, s in own.items()}
        rows.append([f"{first_position} to {end - 1}", *map(percent, found.values())])
        points += [
            {
                "model": f"{asked.model}, {asked.blocks} blocks of {asked.tokens} tokens",
                "mantissa_bits": text,
                "first_position": first_position,
                "end_position": end,
                "loss_percent": 100 * loss.value,
                "interval_95_percent": 100 * loss.half_width(),
            }
            for text, loss in found.items()
        ]
    print(markdown_table(["positions", *own], rows, 1))
    if asked.plot:
        study_figure("position", pd.DataFrame(points)).savefig(asked.plot)


if __name__ == "__main__":
    main()
