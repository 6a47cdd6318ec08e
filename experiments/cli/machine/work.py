"""The work of `anda simulate` and `anda explain`: a model or a single GeMM, on one architecture or several."""

from typing import Annotated

from ...options.option import Option
from ..command import Given
from ..output import note

UniformOption = Annotated[int | None, Option("The same mantissa bits in all modules.", unit="bits")]


def simulation_options(given: Given, mantissa_bits: int | None) -> Given:
    """The options of `simulate` or, where a GeMM is given, of `simulate_gemm`.

    Parameters
    ----------
    given
        Values of `ExplainOptions`.
    mantissa_bits
        Mantissa bits of all modules, in place of a precision.

    Raises
    ------
    InputError
        Neither or both of model and GeMM, two precisions, or an option that does not apply to a GeMM.
    """
    from ....formats import InputError

    if (given["model"] is None) == (given["gemm"] is None):
        raise InputError("model: give either --model NAME or --gemm TxKxN")
    options = dict(given)
    if mantissa_bits is not None:
        if given["precision"] is not None:
            raise InputError("precision: given twice; use either --precision or --m")
        options["precision"] = mantissa_bits
    if given["model"] is not None:
        del options["gemm"]
        return options
    if given["precision"] is not None:
        raise InputError("precision: a single GeMM has one width; give --m")
    from ...requests import gemm_options

    return gemm_options(options)


def architectures(text: str) -> list[str]:
    """The architectures of a list with commas.

    Raises
    ------
    InputError
        There is none.
    """
    from ....formats import InputError

    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError("arch: there is none; give one of `anda archs`, or several with commas")
    return names


def with_cache(archs: list[str], kv_cache: str | None) -> list[str]:
    """The architectures that can store keys and values in a format; a note names those that are left out.

    A single architecture, or several of which none can, are left to the simulation, which refuses them.
    """
    if kv_cache is None or len(archs) == 1:
        return archs
    from ....sim.config.kv_cache import KvCache
    from ...simulation import load_architecture

    cache = KvCache.parse(kv_cache)
    machines = {arch: load_architecture(arch) for arch in archs}
    able = [a for a, machine in machines.items() if machine.compressor or not cache.stored(machine).needs_compressor]
    if able and (left := [arch for arch in archs if arch not in able]):
        note(f"kv_cache: {kv_cache} needs a compressor; left out: {', '.join(left)}")
    return able or archs
