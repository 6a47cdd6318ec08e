"""Table of docs/simulator.md: a whole inference on three architectures, as `anda simulate --prompt --generate` prints it.

``python scripts/inference_table.py`` prints it; ``--update docs/simulator.md`` writes it into the page.
"""

from anda_codesign.experiments.cli.machine.inference import quantity_rows
from anda_codesign.experiments.markdown import markdown_table, tables_command

import anda_codesign

ARCHITECTURES = ("fp-fp", "figna", "anda")


def table() -> str:
    """Model, batch, prompt and generated tokens are those of the command in the page."""
    records = [
        anda_codesign.simulate(
            model="LLaMA-7B", arch=arch, precision=(7, 6, 6, 6), prompt=512, generate=128, batch=8
        ).to_dict()
        for arch in ARCHITECTURES
    ]
    return markdown_table(["", *ARCHITECTURES], quantity_rows(records))


if __name__ == "__main__":
    tables_command(__doc__, {"inference": table})
