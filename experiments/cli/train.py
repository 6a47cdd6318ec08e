"""`anda train-opt`: train a small model of the OPT architecture."""

from pathlib import Path
from typing import Annotated

import typer

from .output import JsonOption, note, write_json


def note_limits(model: str) -> None:
    """Warn that a model trained here is no evidence for the published models."""
    from ...workloads.loading.opt_training import read_training

    if record := read_training(Path(model)):
        perplexity = ", ".join(f"{value:.0f} on {text}" for text, value in record["heldout_perplexity"].items())
        note(
            f"{model} is a small model of the OPT architecture, trained by anda train-opt (perplexity {perplexity}); "
            "it says nothing about the published OPT models"
        )


def train_opt(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.")],
    steps: Annotated[int, typer.Option("--steps", help="Training steps; 1000 take ten minutes on one core.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the weights and batches.")] = 0,
    json: JsonOption = None,
) -> None:
    """Train a small OPT-architecture model on the calibration articles; no package has OPT weights.

    The folder can then be given as --model. Needs the extra hf (torch, transformers).
    """
    from ...workloads.loading.opt_training import OptTraining, train_opt
    from ..options.result import Record
    from ..progress import stage

    training = OptTraining(steps=steps, seed=seed)
    with stage(f"train an OPT of {training.layers} layers for {steps} steps", steps) as advance:
        record = train_opt(out, training, progress=lambda *_: advance(1))
    if write_json(Record({"folder": str(out), **record}), json):
        return
    for text, perplexity in record["heldout_perplexity"].items():
        print(f"Perplexity {perplexity:.1f} on held-out {text} ({record['heldout_tokens']} tokens).")
    note(f"wrote {out} ({record['parameters'] / 1e6:.2f} million parameters); use it as --model {out}")
