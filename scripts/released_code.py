"""Weighted errors of SpQR, GPTQ and SqueezeLLM here beside the authors' released code, on the same matrices.

``python scripts/released_code.py --spqr DIR --gptq DIR --squeezellm DIR [--update docs/weight_formats.md]``. The folders are
clones of github.com/Vahe1994/SpQR, IST-DASLab/gptq and SqueezeAILab/SqueezeLLM. Nothing is fetched. Needs torch and
transformers, tqdm (SpQR) and scikit-learn (SqueezeLLM).

An error is ``tr(D^T H D)`` with the difference D of the weights and the Hessian H of the inputs; for SqueezeLLM the sum of
squared differences times Fisher information. Both programs get float32 Hessians.
"""

import argparse
import datetime
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from anda_codesign.experiments.markdown import markdown_table, renew_page
from anda_codesign.formats.weights.gptq import Gptq
from anda_codesign.formats.weights.spqr.quantizer import SpQR
from anda_codesign.formats.weights.squeezellm import SqueezeLLM
from anda_codesign.workloads import load_blocks, load_decoder
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Row = tuple[str, str, float, float]
CHANNELS, DEAD, OUTPUTS = 576, 52, 192
LAYER, TOKENS = 5, 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("spqr", "gptq", "squeezellm"):
        parser.add_argument(f"--{name}", type=Path, metavar="DIR", help=f"clone of the released {name}")
    parser.add_argument("--update", type=Path, metavar="PAGE", help="write the table into this page")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clones = {name: folder for name, folder in vars(arguments).items() if name != "update" and folder is not None}
    rows = [row for name, folder in clones.items() for row in ROWS[name](folder)]
    table = markdown_table(
        ["matrix", "quantiser", "error here", "released", "ratio"],
        ([matrix, method, f"{own:.4g}", f"{other:.4g}", f"{own / other:.3f}"] for matrix, method, own, other in rows),
    )
    commits = ", ".join(f"{name} {_commit(folder)}" for name, folder in clones.items())
    text = f"{datetime.datetime.now(datetime.UTC).date()}, released code: {commits}.\n\n{table}"
    print(text)
    if arguments.update is not None:
        renew_page(arguments.update, {"released": lambda: text})


def _commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "rev-parse", "--short=10", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _import(folder: Path, module: str) -> Any:
    """Import a module of a clone, whose files import each other by short names."""
    with mock.patch.object(sys, "path", [str(folder.resolve()), *sys.path]):
        for name in ("quant", "quant_groups"):
            sys.modules.pop(name, None)
        return importlib.import_module(module)


def real_matrices() -> dict[str, tuple[Array, Array]]:
    """Matrices ``[in, out]`` of one layer of SmolLM2 with the Hessians of their inputs."""
    decoder, inputs = load_decoder(), dict[str, Array]()

    def hook(module: str, layer: int, x: Array) -> Array:
        if layer == LAYER:
            inputs[module] = x.astype(np.float64)
        return x

    tokens = load_blocks(decoder.tokenizer, blocks=1, tokens=TOKENS).tokens[0]
    decoder.hidden(tokens, hook, layers=LAYER + 1)
    linears = decoder.weights.layers[LAYER].linears
    return {
        f"SmolLM2 layer {LAYER} {name}": (
            linears[name].weights.dequantize()[:, :OUTPUTS].astype(np.float64),
            2 / TOKENS * inputs[module].T @ inputs[module],
        )
        for module, name in (("qkv", "q"), ("u", "gate"), ("d", "down"))
    }


def dead_channels(scale: float) -> tuple[Array, Array]:
    """Random matrix and correlated inputs of which 52 of 576 channels are dead; the Hessian times `scale`."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((CHANNELS, OUTPUTS)) * 0.05
    x = rng.standard_normal((4 * CHANNELS, 64)) @ rng.standard_normal((64, CHANNELS))
    x = (x / 8 + rng.standard_normal(x.shape)) * np.exp(rng.standard_normal(CHANNELS))
    x[:, rng.permutation(CHANNELS)[:DEAD]] = 0
    return w, scale * 2 / len(x) * x.T @ x


def error(w: Array, found: Array, hessian: Array) -> float:
    difference = w - found
    return float(np.einsum("io,ij,jo->", difference, hessian, difference, optimize=True))


def spqr_rows(folder: Path) -> Iterator[Row]:
    engine = _import(folder, "spqr_engine")
    cases = {name: (matrix, 0.2, 16) for name, matrix in real_matrices().items()}
    cases |= {f"52 of 576 channels dead, H x {s:g}": (dead_channels(s), 0.2, 16) for s in (1e-6, 1e-3, 1, 1e3, 1e6)}
    for name, ((w, hessian), threshold, group) in cases.items():
        for damping in (1.0, 0.01):
            settings: dict[str, Any] = {"qq_scale_bits": 3, "qq_zero_bits": 3, "qq_groupsize": 16}
            util = engine.SPQRUtil(SimpleNamespace(weight=torch.tensor(w.T, dtype=torch.float32)))
            util.H = torch.tensor(hessian, dtype=torch.float32)
            released = util.quantize(
                bits=3,
                groupsize=group,
                percdamp=damping,
                outlier_relative_threshold=threshold,
                permutation_order="act_order",
                verbose=False,
                **settings,
            )
            own = SpQR(
                bits=3, group_size=16, statistics_bits=3, statistics_group=16, threshold=threshold, damping=damping
            ).quantize(w, hessian)
            other = released.weight.numpy().T
            yield (
                name,
                f"SpQR 3 bits, damping {damping:g}",
                error(w, own.dequantize(), hessian),
                error(w, other, hessian),
            )


def gptq_rows(folder: Path) -> Iterator[Row]:
    gptq = _import(folder, "gptq")
    cases = real_matrices() | {"52 of 576 channels dead": dead_channels(1.0)}
    for name, (w, hessian) in cases.items():
        for bits, group, static in ((2, 32, False), (2, 64, False), (3, 128, False), (4, 128, True)):
            layer = torch.nn.Linear(*w.shape, bias=False)
            layer.weight.data = torch.tensor(w.T, dtype=torch.float32)
            released = gptq.GPTQ(layer)
            released.quantizer = gptq.Quantizer()
            released.quantizer.configure(bits, perchannel=True, sym=False)
            released.H = torch.tensor(hessian, dtype=torch.float32)
            with mock.patch("torch.cuda.synchronize"), mock.patch("builtins.print"):
                released.fasterquant(groupsize=group, actorder=static, static_groups=static)
            own = Gptq(bits=bits, group_size=group, act_order=static, static_groups=static).quantize(w, hessian)
            method = f"GPTQ {bits} bits, {'static' if static else 'dynamic'} groups of {group}"
            yield name, method, error(w, own.dequantize(), hessian), error(w, layer.weight.detach().numpy().T, hessian)


def squeezellm_rows(folder: Path) -> Iterator[Row]:
    importlib.import_module("sklearn.cluster")
    setattr(np, "cast", {"byte": np.int8})  # noqa: B010, NumPy 2 dropped it
    parsers = {f"squeezellm.{name}": mock.MagicMock() for name in ("model_parse", "outliers")}  # for whole models alone
    quiet = mock.patch("argparse.ArgumentParser.parse_args")
    with mock.patch.dict(sys.modules, {"squeezellm": mock.MagicMock(), **parsers}), quiet:
        fit = _import(folder / "quantization", "nuq").kmeans_fit
    for name, (w, hessian) in real_matrices().items():
        rng = np.random.default_rng(1)
        fisher = np.diag(hessian)[:, None] * rng.exponential(size=w.shape)
        for bits in (3, 4):
            tables = [fit((column[:, None], weights, 2**bits)) for column, weights in zip(w.T, fisher.T, strict=True)]
            other = np.stack([centers[labels] for centers, labels in tables], axis=1)
            for solver in ("lloyd", "optimal"):
                own = SqueezeLLM(bits, 0.0, 0.0, solver=solver).quantize(w, fisher).dequantize()
                yield (
                    name,
                    f"SqueezeLLM {bits} bits, solver {solver}",
                    float((fisher * (w - own) ** 2).sum()),
                    float((fisher * (w - other) ** 2).sum()),
                )


ROWS = {"spqr": spqr_rows, "gptq": gptq_rows, "squeezellm": squeezellm_rows}

if __name__ == "__main__":
    main()
