"""`anda fetch`, `anda models`, `anda archs`: bring the data, list what exists."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ....sim.config.defaults import DEFAULT_TECHNOLOGY
from ... import amounts
from ...options.simulation import ModelOptions
from .. import help
from ..command import Given, PluginOption, command
from ..output import JsonOption, note, print_table, write_json

SchemaOption = Annotated[bool, typer.Option("--schema", help="Print the JSON schema of model files, for editors.")]


ModelArgument = Annotated[str | None, typer.Argument(help="A larger model instead: qwen2.5-coder-1.5b (1.1 GB).")]


def fetch(model: ModelArgument = None, json: JsonOption = None) -> None:
    """Fetch the built-in model and text into the cache folder (121 MB once), checking their hashes."""
    from ....workloads import cache_dir
    from ....workloads import fetch as fetch_data
    from ....workloads.fetch import fetch_model
    from ...options.result import Record

    if model is not None:
        path = fetch_model(model, progress=_timed())
        if not write_json(Record({"model": str(path)}), json):
            print(f"model: {path}")
        return
    paths = fetch_data(progress=_timed())
    found = {"model": str(paths.model), "text": str(paths.wiki), "cache": str(cache_dir())}
    if write_json(Record(found), json):
        return
    print(f"model: {paths.model}")
    print(f"text: {paths.wiki}")
    print(f"cache folder: {cache_dir()} (the environment variable ANDA_CACHE names another)")


def _timed() -> Callable[[str], None]:
    """Notes of a download; a finished file has its size and time."""
    started = time.monotonic()

    def tell(line: str) -> None:
        nonlocal started
        path = Path(line.removesuffix(FETCHED))
        if line.endswith(FETCHED) and path.is_file():
            line += f": {amounts.size(path.stat().st_size)} in {amounts.seconds(time.monotonic() - started)}"
        started = time.monotonic()
        note(line)

    return tell


FETCHED = " is fetched"
models_app = help.app(invoke_without_command=True)


@models_app.callback()
def models(context: typer.Context, schema: SchemaOption = False, json: JsonOption = None) -> None:
    """List the models whose shapes are known; the command show prints any model's shape."""
    if context.invoked_subcommand is not None:
        return
    if schema:
        from ....workloads.models.shape_files import shape_schema

        print(shape_schema())
        return
    from ...catalog import list_models

    found = list_models()
    if write_json(found, json):
        return
    columns = {"hidden": "hidden", "ffn": "ffn", "layers": "layers", "heads": "heads", "kv_heads": "KV heads"}
    columns |= {"vocabulary": "tokens known", "max_length": "context"}
    rows = [(r["name"], *(r[c] for c in columns), f"{r['macs_per_token'] / 1e6:,.1f}") for r in found.rows]
    print_table("Models (decoder-only transformers)", ("model", *columns.values(), "M MAC / token"), rows)


@models_app.command(short_help="A model's shape as YAML.", epilog=help.example("show"))
@command(ModelOptions)
def show(given: Given, *, json: JsonOption = None) -> None:
    """Print a model's shape as YAML, which --model reads again, with its parameters and the size of its KV cache."""
    from ...catalog import describe_model

    found = describe_model(**given)
    if not write_json(found, json):
        print(found.to_yaml(), end="")


def plugins(*, plugin: PluginOption = [], json: JsonOption = None) -> None:  # noqa: B006
    """List all registered names, and where each comes from: built in, or a file of yours."""
    from ....formats.plugins import registered
    from ...options.result import Table

    found = list(registered())
    if write_json(Table([entry._asdict() for entry in found]), json):
        return
    rows = [(entry.kind, entry.name, entry.origin, (entry.sha256 or "")[:16]) for entry in found]
    print_table("Registered names", ("kind", "name", "from", "sha256"), rows)


def archs(json: JsonOption = None) -> None:
    """List the built-in accelerators."""
    from ...catalog import list_architectures

    found = list_architectures()
    if write_json(found, json):
        return
    rows = [
        (
            r["name"],
            r["title"],
            f"{r['rows']} x {r['columns']}",
            r["timing"],
            r["mantissa_bits"] if r["default_precision"] is None else f"variable; {r['default_precision']}",
            r["activations"],
            f"{r['area_mm2']:.2f}",
        )
        for r in found.rows
    ]
    columns = (
        "architecture",
        "what it is",
        "array",
        "timing",
        "mantissa bits; default",
        "memory holds",
        "mm²",
    )
    print_table(f"Architectures (area: {DEFAULT_TECHNOLOGY})", columns, rows)
