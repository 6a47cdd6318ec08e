"""Tables of docs/models.md: models from their configurations beside what is published, their inference, and experts by batch.

``python scripts/models_table.py`` prints them; ``--update docs/models.md`` writes them into the page. The configurations and the published
numbers stand in tests/workloads/models.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from anda_codesign.experiments.markdown import markdown_table, tables_command
from anda_codesign.workloads import load_shape

import anda_codesign

FOLDER = Path(__file__).parents[1] / "tests" / "workloads" / "models"
SHOWN = ("Qwen2.5-7B", "Gemma-3-1B", "Mixtral-8x7B", "LLaMA-3.1-405B")
REQUEST: dict[str, Any] = {"prompt": 1024, "generate": 128, "batch": 8, "allow_overflow": True}
EXPERTS, BATCHES, CONTEXT = "Mixtral-8x7B", (1, 2, 4, 8, 16, 32, 64), 1024
GIB = 2**30


def published() -> Iterator[list[object]]:
    """Parameters and bytes of keys and values of every configuration."""
    entries: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "published.yaml").read_text("utf-8"))
    for name, entry in entries.items():
        found = anda_codesign.describe_model(model=FOLDER / "configs" / name)
        active = "" if found.active_parameters == found.parameters else f"{found.active_parameters / 1e9:.2f}"
        stated = f"{entry['active']:g}" if "active" in entry else ""
        yield [
            name,
            f"{found.parameters:,}",
            f"{entry['published']:g}",
            active,
            stated,
            f"{found.kv_bytes_per_token:,}",
            f"{entry['kv_bytes_per_token']:,}",
            f"{found.kv_bytes / GIB:.2f}",
            entry["source"],
        ]


def inferences() -> Iterator[list[object]]:
    """Whole inferences of the models that the page shows."""
    for name in SHOWN:
        for arch in ("fp-fp", "anda"):
            found = anda_codesign.simulate(model=FOLDER / "configs" / name, arch=arch, **REQUEST).to_dict()
            yield [
                name,
                arch,
                f"{found['memory_bytes'] / GIB:.1f}",
                f"{found['kv_cache_bytes'] / GIB:.2f}",
                f"{found['ttft_seconds']:.1f}",
                f"{found['tpot_seconds']['mean']:.3f}",
                f"{found['tokens_per_second']:.2f}",
                f"{found['energy_per_token_pj'] / 1e9:.1f}",
            ]


def experts() -> Iterator[list[object]]:
    """One step of a model with experts at several batches."""
    shape = load_shape(FOLDER / "configs" / EXPERTS)
    assert shape.experts is not None
    for batch in BATCHES:
        request: dict[str, Any] = {"phase": "decode", "tokens": 1, "context": CONTEXT, "batch": batch}
        found = anda_codesign.simulate(
            model=shape, arch="anda", weights="int4", whole=True, allow_overflow=True, **request
        )
        traffic = sum(
            run.traffic.weights * run.gemm.repeat for run in found.fp_int.runs if run.gemm.module in ("u", "d")
        )
        yield [
            batch,
            f"{shape.experts.distinct(batch):.2f}",
            f"{traffic / 8 / GIB:.2f}",
            f"{found.fp_int.macs / 1e9:.1f}",
            f"{found.seconds:.2f}",
            f"{batch / found.seconds:.2f}",
        ]


def _published() -> str:
    columns = [
        *("model", "parameters", "published, 10^9", "active, 10^9", "published, 10^9"),
        *("KV bytes a token", "by hand", "KV GiB of the longest context", "source of the published numbers"),
    ]
    return markdown_table(columns, published())


def _inferences() -> str:
    columns = ["model", "machine", "memory, GiB", "KV cache, GiB", "first token, s", "further token, s"]
    return markdown_table([*columns, "tokens/s", "mJ/token"], inferences(), text_columns=2)


def _experts() -> str:
    columns = ["batch", "expected distinct experts", "weights of experts, GiB", "10^9 MACs", "s", "tokens/s"]
    return markdown_table(columns, experts(), text_columns=0)


if __name__ == "__main__":
    tables_command(__doc__, {"published": _published, "inferences": _inferences, "experts": _experts})
