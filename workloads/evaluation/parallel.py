"""Blocks of text side by side: a thread for each block, and one BLAS thread in each.

The threads of one BLAS call wait for each other, and they spin: where another program takes a core, a block on two threads
takes many times as long as on one. The values are the same bit for bit.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Value = TypeVar("Value")


def blas_threads(controller: ThreadpoolController) -> int:
    """Threads that BLAS may take now: its cores, or fewer where ``OPENBLAS_NUM_THREADS`` or a caller says so."""
    return max((library["num_threads"] for library in controller.info() if library["user_api"] == "blas"), default=1)


def side_by_side(function: Callable[[Item], Value], items: Iterable[Item]) -> Iterator[Value]:
    """The values of a function in the order of its items, as many at once as BLAS has threads.

    The function is called from several threads, each of which has one thread of BLAS.
    """
    controller = ThreadpoolController()
    threads = blas_threads(controller)
    if threads == 1:
        yield from map(function, items)
        return
    with controller.limit(limits=1, user_api="blas"):
        pool = ThreadPoolExecutor(threads, "blocks")
        try:
            yield from pool.map(function, items)
        finally:
            pool.shutdown(cancel_futures=True)
