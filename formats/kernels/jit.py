"""Decorators that compile kernels: `kernel` for Python functions, `intrinsic` for functions that emit LLVM code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numba import extending, njit
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.registry import CPUDispatcher as Dispatcher

_ROOM = Path(__file__).parents[1]

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function that releases the interpreter lock, and keep the machine code on disk.

    numba drops stored code when the file of the function changes. These kernels consist of several files, so their code
    is dropped when any file of the room changes, or of the folders of the function and of the compiled functions that it may call.
    """
    return _kept(function, njit(nogil=True)(function))


def arithmetic_kernel(function: Function) -> Function:
    """As `kernel`, for formulas that never divide by zero: divisions are not checked."""
    return _kept(function, njit(nogil=True, error_model="numpy")(function))


def inlined_arithmetic(function: Callable[..., Any]) -> Any:
    """Part of an `arithmetic_kernel` that LLVM inlines: records of many numbers stay in registers between the parts."""
    return njit(nogil=True, error_model="numpy", forceinline=True)(function)


def _kept(function: Callable[..., Any], dispatcher: Any) -> Any:
    dispatcher._cache = _FolderCache(function)
    return dispatcher


def intrinsic(emit: Callable[..., Any]) -> Callable[..., Any]:
    """Function for compiled code; ``emit`` writes its LLVM instructions (`numba.extending.intrinsic`).

    ``emit`` gets the typing context and the types of the arguments, and returns the signature and a code generator.
    """
    return extending.intrinsic(emit)


def array_data(context: Any, builder: Any, signature: Any, arguments: Any, index: int) -> Any:
    """Data pointer of an array argument of an intrinsic."""
    return context.make_array(signature.args[index])(context, builder, arguments[index]).data


def source_stamp(room: Path = _ROOM) -> tuple[tuple[str, int, int], ...]:
    """Path, modification time in ns and size in bytes of every source file of this room."""
    states = ((path, path.stat()) for path in sorted(room.rglob("*.py")))
    return tuple((str(path.relative_to(room)), state.st_mtime_ns, state.st_size) for path, state in states)


class _FolderCache(FunctionCache):
    """Cache of one function that is valid while `source_stamp` stays the same."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        called = [value.py_func for value in function.__globals__.values() if isinstance(value, Dispatcher)]
        folders = {Path(each.__code__.co_filename).parent for each in (function, *called)}
        others = sorted(folder for folder in folders if not folder.is_relative_to(_ROOM))
        stamp = sum(map(source_stamp, others), source_stamp())
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, stamp)
