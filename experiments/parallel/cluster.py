"""Evaluations on a Dask cluster: each block of text at each precision is a task, and the cache here keeps its values."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...workloads import LanguageModel
from ...workloads.evaluation.perplexity import program_sha256
from ...workloads.evaluation.scores import Scorer
from ..inputs import as_model, as_scored
from ..options.parse import several
from ..options.precision import BackendOptions
from ..progress import stage
from .executors import DaskExecutor

if TYPE_CHECKING:
    from ...workloads.evaluation.scores import Workers
    from ...workloads.inference.decoder import Hook

_LOADING = Lock()


@dataclass(frozen=True)
class ModelSource:
    """A model by what a worker needs to find the same one.

    Attributes
    ----------
    model
        Its name, or its path on every worker.
    options
        Library, device and type that run it.
    sha256
        Its content.
    """

    model: str
    options: BackendOptions
    sha256: str

    def scorer(self) -> Scorer:
        """The model in this process, loaded once.

        Raises
        ------
        InputError
            There is no such model here, or it is another one.
        """
        with _LOADING:  # threads of a worker share it
            return _load(self)


@lru_cache(maxsize=1)
def _load(source: ModelSource) -> Scorer:
    decoder = as_model(source.model, source.options)
    if decoder.sha256 != source.sha256:
        raise InputError(f"model: {source.model} is another one there; copy the same files")
    return Scorer(as_scored(decoder, source.options))


@contextmanager
def evaluation_workers(
    dask: str | None, model: str | Path | LanguageModel, decoder: LanguageModel, options: BackendOptions | None = None
) -> Generator[Workers | None]:
    """Workers of a Dask cluster that score blocks of text, for as long as the context lasts; None without an address.

    Parameters
    ----------
    dask
        Address of the scheduler.
    model
        The model as it was asked for.
    decoder
        The model.
    options
        Library, device and type that run it.

    Raises
    ------
    InputError
        The scheduler does not answer, or a worker runs another version of this program or lacks the model.
    """
    if dask is None:
        yield None
        return
    if not isinstance(model, str | Path):
        raise InputError("model: is an object, which the workers of dask cannot load; give its name or path")
    options = options or BackendOptions()
    modules = None if options.modules is None else tuple(several(options.modules))
    plain = BackendOptions(
        backend=options.backend,
        device=options.device,
        dtype=options.dtype,
        device_map=options.device_map,
        modules=modules,
    )
    source = ModelSource(str(model), plain, decoder.sha256)
    with DaskExecutor(dask, program_sha256) as executor:
        executor.require(partial(_hold, source))
        yield partial(_score_all, executor, source)


def _hold(source: ModelSource) -> None:
    source.scorer()


def _score_all(
    executor: DaskExecutor, source: ModelSource, points: Mapping[Path, tuple[NDArray[np.int32], Hook]]
) -> Iterator[tuple[Path, NDArray[np.float64]]]:
    with stage(f"{len(points)} blocks on the workers", len(points)) as advance:
        for scored in executor.run(partial(_score, source), list(points.items())):
            yield scored
            advance(1)


def _score(source: ModelSource, point: tuple[Path, tuple[NDArray[np.int32], Any]]) -> tuple[Path, NDArray[np.float64]]:
    path, (tokens, hook) = point
    return path, source.scorer().values(tokens, hook)
