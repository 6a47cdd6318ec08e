"""Help of the commands: their groups, and an example of each."""

from typing import Any

import typer
from typer.core import TyperGroup

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}

GROUPS = {
    "Answers": ("report", "search", "reproduce", "study", "eval"),
    "Machines": ("simulate", "explain", "sweep", "results", "archs"),
    "Models and data": ("fetch", "models", "trace", "quantize", "train-opt"),
    "Formats and circuits": ("formats", "rtl", "plugins"),
    "This installation": ("doctor",),
}
"""Commands of `anda` under the headings of its help."""

EXAMPLES = {
    "report": "anda report --model smollm2-135m --out reports/first",
    "search": "anda search --tolerance 0.01 --blocks 32",
    "reproduce": "anda reproduce machine",
    "eval": "anda eval --model opt-1.3b --precision 8,5,5,4 --protocol wikitext2",
    "study": "anda study fig6 --blocks 2 --tokens 128",
    "simulate": "anda simulate --model LLaMA-7B --arch fp-fp,figna,anda",
    "explain": "anda explain --gemm 2048x4096x4096 --m 7",
    "sweep": "anda sweep examples/my_sweep.yaml --out results",
    "results": "anda results results --report results-report",
    "archs": "anda archs",
    "fetch": "anda fetch",
    "models": "anda models show LLaMA-7B",
    "trace": "anda trace capture --out trace.safetensors",
    "capture": "anda trace capture --out trace.safetensors --layers 0,15",
    "info": "anda trace info trace.safetensors",
    "planes": "anda trace planes trace.safetensors",
    "show": "anda models show LLaMA-7B",
    "quantize": "anda quantize gptq:group_size=64 --bits 3",
    "train-opt": "anda train-opt --out small-opt --steps 100",
    "formats": "anda formats compare --trace trace.safetensors",
    "compare": "anda formats compare --trace trace.safetensors",
    "rtl": "anda rtl verilog anda-pe --out anda_pe.v",
    "check": "anda rtl check --trace trace.safetensors --m 4,7",
    "synth": "anda rtl synth anda-pe --m 4,7 --trace trace.safetensors",
    "run": "anda rtl run --rows 2 --columns 2 --m 7",
    "cycles": "anda rtl cycles",
    "waveform": "anda rtl waveform --out group.svg",
    "lint": "anda rtl lint anda-pe",
    "verilog": "anda rtl verilog anda-pe --out anda_pe.v",
    "plugins": "anda plugins --plugin examples/my_format.py",
    "doctor": "anda doctor",
}
"""An example of every command."""


class Commands(TyperGroup):
    """A command with commands: its help shows them in groups, and every help ends with an example."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands under their headings; those without one under ``Commands``."""
        names = self.list_commands(ctx)
        grouped = {title: [name for name in group if name in names] for title, group in GROUPS.items()}
        if ctx.parent is not None:
            grouped = {"Commands": names}
        for title, group in grouped.items():
            rows = [
                (name, command.get_short_help_str(60)) for name in group if (command := self.get_command(ctx, name))
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the example of the whole command, or how to see that of each."""
        example = EXAMPLES.get(ctx.info_name or "") if ctx.parent else None
        formatter.write_paragraph()
        formatter.write_text(
            f"Example: {example}" if example else "Every command's help ends with an example: anda report -h"
        )


def example(name: str) -> str:
    """Last line of a command's help."""
    return f"Example: {EXAMPLES[name]}"


def app(**options: Any) -> typer.Typer:
    """A typer program with grouped help; it answers ``-h``."""
    return typer.Typer(cls=Commands, context_settings=SETTINGS, rich_markup_mode=None, **options)
