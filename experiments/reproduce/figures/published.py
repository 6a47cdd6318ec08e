"""Published numbers, and a user's precision tuples for further data sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from ....formats import InputError
from ....formats.documents.yaml_file import read_yaml
from ....workloads import Precision, model_shape

FOLDER = Path(__file__).parents[2] / "paper"
DATASET = "WikiText2"
"""Data set with precision tuples published as numbers."""
TOLERANCES = ("0.1%", "1%")

Tuples: TypeAlias = Mapping[str, Mapping[str, Precision]]
"""Precision of each model by tolerance."""


@cache
def published() -> dict[str, Any]:
    """Numbers of the paper's figures and tables (arXiv 2411.15982)."""
    return json.loads((FOLDER / "anda_hpca2025.json").read_text("utf-8"))


@cache
def statements() -> dict[str, Any]:
    """The paper's statements about figures without printed numbers."""
    return read_yaml(FOLDER / "statements.yaml", "statements")


def wikitext2_tuples() -> Tuples:
    """Published precision tuples."""
    data = published()["wikitext2"]
    return {
        tolerance: {model: Precision(*bits) for model, bits in data[f"combination_{tolerance}"].items()}
        for tolerance in TOLERANCES
    }


@dataclass(frozen=True)
class PrecisionSets:
    """Precision tuples of the system figures by data set, WikiText2 first."""

    sets: Mapping[str, Tuples] = field(default_factory=lambda: {DATASET: wikitext2_tuples()})

    @classmethod
    def load(cls, path: Path | str) -> PrecisionSets:
        """Published tuples, and those of a file.

        The file is YAML or JSON and nests data set, tolerance, model and tuple, as in
        ``{PTB: {"1%": {OPT-1.3B: "7,5,5,5"}}}``. Data sets and tolerances are free; models must be known.

        Raises
        ------
        InputError
            The file cannot be read, a model is unknown, or a tuple is invalid.
        """

        where = f"precisions {Path(path).name}"
        data = _mapping(where, read_yaml(Path(path), where))
        sets: dict[str, Tuples] = {DATASET: wikitext2_tuples()}
        for dataset, tolerances in data.items():
            inner = _mapping(f"{where}: {dataset}", tolerances)
            sets[dataset] = {**sets.get(dataset, {})} | {
                tolerance: _models(f"{where}: {dataset}.{tolerance}", models) for tolerance, models in inner.items()
            }
        return cls(sets)

    def key(self) -> list[Any]:
        """Cache key; equal for equal sets."""
        return [
            [dataset, tolerance, model, list(bits)]
            for dataset, tolerances in self.sets.items()
            for tolerance, models in tolerances.items()
            for model, bits in models.items()
        ]


def _mapping(where: str, data: Any) -> dict[str, Any]:
    if not isinstance(data, dict) or not data:
        raise InputError(f"{where}: holds no keys; write data set, tolerance, model and tuple: {EXAMPLE}")
    return {str(key): value for key, value in data.items()}


EXAMPLE = '{PTB: {"1%": {OPT-1.3B: "7,5,5,5"}}}'


def _models(where: str, data: Any) -> dict[str, Precision]:
    models: dict[str, Precision] = {}
    for name, bits in _mapping(where, data).items():
        text = ",".join(map(str, bits)) if isinstance(bits, list) else str(bits)
        try:
            models[model_shape(name).name] = Precision.parse(text)
        except InputError as error:
            raise InputError(f"{where}.{name}: {error}") from None
    return models
