"""MkDocs hook: reference pages that are made while the site is built, so that they cannot be stale."""

import json
from collections.abc import Iterator
from typing import Any

import click
import typer
from anda_codesign.experiments.cli import app
from anda_codesign.experiments.sweep.spec import SweepSpec
from anda_codesign.sim.config.architecture import Architecture
from anda_codesign.sim.config.technology import Technology
from anda_codesign.sim.config.weights import WeightConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    for name, text in (("reference/cli.md", cli_page()), ("reference/schemas.md", schema_page())):
        files.append(File.generated(config, name, content=text))
    return files


def cli_page() -> str:
    """Every command with its help."""
    head = "# Command line\n\nAfter this page you know every command of `anda` and its options. `anda COMMAND --help` prints the same.\n"
    return "\n".join([head, *_commands(typer.main.get_command(app), "anda")])


def _commands(command: click.Command, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path, max_content_width=100, terminal_width=100)
    yield f"## {path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _commands(child, f"{path} {name}")


def schema_page() -> str:
    """JSON schemas of the YAML files that users write."""
    parts = [
        "# YAML files\n\nAfter this page you can write a sweep, an architecture, a technology or a weight format of your own.\n"
    ]
    for title, model in (
        ("Sweep", SweepSpec),
        ("Architecture", Architecture),
        ("Technology", Technology),
        ("Weight format", WeightConfig),
    ):
        schema = json.dumps(model.model_json_schema(by_alias=True), indent=2)
        parts.append(
            f'## {title}\n\n??? note "JSON schema"\n\n'
            + "\n".join(f"    {line}" for line in f"```json\n{schema}\n```".splitlines())
            + "\n"
        )
    return "\n".join(parts)
