"""How this room's kernels are compiled: `kernel` for functions, `intrinsic` for those that write their own LLVM code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numba import extending, njit
from numba.core.caching import FunctionCache, IndexDataCacheFile

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function that releases the interpreter lock, and keep the machine code on disk.

    numba drops stored code when the function's own file changes. Kernels here are made of several files, so theirs is
    dropped when any file of the room changes.
    """
    dispatcher: Any = njit(nogil=True)(function)
    dispatcher._cache = _FolderCache(function)
    return dispatcher


def intrinsic(emit: Callable[..., Any]) -> Callable[..., Any]:
    """A function of compiled code whose LLVM instructions ``emit`` writes (`numba.extending.intrinsic`).

    ``emit`` gets the typing context and the types of the arguments, and returns the signature and a code generator.
    """
    return extending.intrinsic(emit)


def array_data(context: Any, builder: Any, signature: Any, arguments: Any, index: int) -> Any:
    """The data pointer of an intrinsic's array argument."""
    return context.make_array(signature.args[index])(context, builder, arguments[index]).data


def source_stamp() -> tuple[tuple[str, int, int], ...]:
    """Path, modification time and size of every source file of this room."""
    room = Path(__file__).parents[1]
    states = ((path, path.stat()) for path in sorted(room.rglob("*.py")))
    return tuple((str(path.relative_to(room)), state.st_mtime_ns, state.st_size) for path, state in states)


class _FolderCache(FunctionCache):
    """numba's cache of one function, valid while `source_stamp` stays the same."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, source_stamp())
