"""The command `anda`.

Every command imports what it needs when it runs, so that `anda --help` answers at once. A user's mistake, whether found
by the option parser or raised as `InputError` further in, is one line on stderr and exit status 2, and so is what the
machine refuses: memory, room on the disk, a permission, a file that went away. Anything else that escapes is a bug and shows its traceback.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from . import doctor, evaluation, help, report, reproduce, results, rtl, search, study, sweep, train
from .data import catalog, formats, quantize, trace
from .machine import explain, simulate

LONGEST = 400
"""Most characters of an error at its beginning, and at its end."""
INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell gives it."""
COMPLETION = "_ANDA_COMPLETE"
"""Environment variable with which a shell asks for completions."""
COMPLETION_OPTIONS = ("--install-completion", "--show-completion")
READER_GONE = 141
"""Exit status where nobody reads the output any more, as a shell gives it."""

app = help.app(name="anda", pretty_exceptions_enable=False)
for command, summary in (
    (catalog.fetch, "Fetch the built-in model and text."),
    (catalog.plugins, "List the registered formats and where they come from."),
    (catalog.archs, "List the built-in accelerators."),
    (simulate.simulate, "Cycles, traffic, energy and area of a model or a GeMM."),
    (explain.explain, "How a simulation's totals arise, with sources."),
    (sweep.sweep, "Many simulations from one file."),
    (results.results, "Questions to a finished sweep; its report."),
    (report.report, "The main job: bits, savings and circuits of a model."),
    (reproduce.reproduce, "The paper's figures and tables beside ours."),
    (quantize.quantize, "Quantise a model's weights; size and perplexity."),
    (search.search, "The fewest mantissa bits within a loss."),
    (study.study, "What group sizes, widths, modules and formats cost."),
    (evaluation.eval, "Perplexity as in the papers, and zero-shot tasks."),
    (train.train_opt, "Train a small model of the OPT architecture."),
    (doctor.doctor, "What is installed, what is missing, and the cache."),
):
    name = command.__name__.replace("_", "-")
    app.command(name, short_help=summary, epilog=help.example(name))(command)
app.add_typer(catalog.models_app, name="models", short_help="The models whose shapes are known; a model's shape.")
app.add_typer(rtl.app, name="rtl", short_help="Circuits: Verilog, simulation, synthesis.")
app.add_typer(trace.app, name="trace", short_help="Captured activations and weights of real models.")
app.add_typer(formats.app, name="formats", short_help="The number formats, and activation formats compared.")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"anda {version('anda-codesign')}")
        raise typer.Exit


@app.callback()
def anda(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Simulate and co-design LLM inference with variable-length grouped activations."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (`sys.argv` when `arguments` is None) and return its exit status."""
    _open_closed_streams()
    if os.name == "nt":
        return _fail(
            "system: Windows has neither the file locks nor the signals that runs need; use Linux, macOS or WSL", 2
        )
    try:
        status = app(arguments, prog_name="anda", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        return _fail(f"{error.format_message().rstrip('.')}; see '{_command_path(error)} --help'", error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        status = INTERRUPTED
    except SystemExit as error:
        if _completes(sys.argv[1:] if arguments is None else arguments):
            return error.code if isinstance(error.code, int) else 0
        if isinstance(error.__context__, BrokenPipeError):  # typer's answer to a reader that is gone
            return _reader_gone()
        return _fail("plugin: code that the command ran ended the program; remove sys.exit from it", 2)
    except ValueError as error:
        from ...formats import InputError

        if isinstance(error, InputError):
            return _fail(str(error), 2)
        raise
    except MemoryError as error:
        return _fail(f"memory: is not enough ({error}); take a smaller problem", 2)
    except BrokenPipeError:
        return _reader_gone()
    except OSError as error:
        if error.strerror is None:
            raise
        if error.filename is None:
            _drop_output()
        return _fail(f"{error.filename or 'output'}: {error.strerror}; fix that and run the command again", 2)
    if status == INTERRUPTED:  # typer returns what it made of a KeyboardInterrupt
        return _fail("interrupted", INTERRUPTED)
    return status if isinstance(status, int) else 0


def _completes(arguments: Sequence[str]) -> bool:
    """True if a shell asks for completions, or the user for their installation: typer then ends the program itself."""
    return COMPLETION in os.environ or any(name in arguments[:1] for name in COMPLETION_OPTIONS)


def _open_closed_streams() -> None:
    """Open standard streams that were closed (``>&-``): their numbers must not go to the next file that is opened.

    Writing to a closed output fails as on a full disk.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # takes the lowest free number
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115


def _reader_gone() -> int:
    """End without a word, as programs do whose output goes to ``head``."""
    _drop_output()
    return READER_GONE


def _drop_output() -> None:
    """Forget what standard output did not take, so that Python does not try again when it ends."""
    with suppress(OSError):
        if sys.stdout.fileno() == 1:
            sys.stdout.close()
    if sys.stdout.closed:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115


def _fail(message: str, status: int) -> int:
    line = " ".join(message.split())
    if len(line) > 2 * LONGEST:  # an error may quote what was given, of any length
        line = f"{line[:LONGEST]} ... {line[-LONGEST:]}"
    print(f"anda: error: {line}", file=sys.stderr)
    return status


def _command_path(error: typer.TyperException) -> str:
    context: typer.Context | None = getattr(error, "ctx", None)
    return context.command_path if context is not None else "anda"
