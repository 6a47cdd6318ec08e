"""A model that transformers runs, for evaluations: same hooks and same protocol as the decoder of this program."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError, Int4Weights
from ...formats.documents.border import reason
from ..extras import import_extra
from ..fetch import data_paths, pieced_models
from ..files import file_sha256
from ..inference.decoder import Decoder, Hook, require_length
from ..loading.load import FETCHED_MODEL, is_gguf, load_shape
from ..models.gguf_header import read_header
from ..models.parameters import FloatArray
from ..models.precision import MODULES
from ..models.shapes import ModelShape
from ..text.blocks import TextBlocks, load_blocks
from ..text.gguf_tokenizer import gguf_tokenizer
from ..text.hf_tokenizer import read_tokenizer
from ..text.tokenizer import TextTokenizer
from .activations import module_map
from .device import Placement, memory_line, require_memory
from .hooked import hooked
from .linears import layer_weights, replace_weights
from .slow_tokenizer import SlowTokenizer

Tensor = Any

HEAD_TILE = 256
"""Tokens per tile of the language-model head."""
BATCH_TOKENS = 8192
"""Tokens of a batch on a GPU; a CPU runs one block at a time."""
WEIGHT_FILES = ("*.safetensors", "*.bin", "*.gguf")


class TransformersModel:
    """A causal language model that transformers runs, for `evaluate` and `Scorer`.

    Weights keep the values of the checkpoint; they are not rounded to INT4.

    Parameters
    ----------
    model
        A checkpoint folder that ``AutoModelForCausalLM`` reads, a GGUF file, or a model that `fetch` brought.
    placement
        Device and type.
    patterns
        Modules of linear layers by patterns of their names, before the usual ones; see `module_map`.
    announce
        False prints neither memory nor modules.

    Raises
    ------
    InputError
        transformers is not installed or cannot read the model, there is no such device, the memory does not suffice, or
        no pattern takes a linear layer.
    """

    def __init__(
        self,
        model: str | Path,
        placement: Placement | None = None,
        patterns: Mapping[str, str] | None = None,
        announce: bool = True,
    ) -> None:
        self._torch = import_extra("torch")
        placement = placement or Placement()
        path = model_path(model)
        self.path = path
        self.shape: ModelShape = load_shape(path)
        self.device = placement.found_device()
        self.model = _load(path, placement, self.device, announce)
        self.dtype = str(self.model.dtype).removeprefix("torch.")
        self.modules = module_map(self.model, patterns)
        """Module of each linear layer, by its name."""
        self.batch_tokens = 0 if self.device == "cpu" else BATCH_TOKENS
        self.sha256 = self._own_sha256 = self._identity(path, placement)
        """Identifies the values: files, versions of the libraries, type, kind of device and modules."""
        if announce:
            _say(f"modules: {describe_modules(self.modules)}")
        self._tokenizer = _tokenizer(path, self.shape)
        self._softcap: float | None = getattr(self.model.config, "final_logit_softcapping", None)
        self._head_checked = False

    def _identity(self, path: Path, placement: Placement) -> str:
        files = [path] if path.is_file() else [path / "config.json", *_weight_files(path)]
        versions = [f"{name} {import_extra(name).__version__}" for name in ("transformers", "torch")]
        where = self.device if placement.device_map is None else f"{self.device} spread"
        parts = [*map(file_sha256, files), *versions, self.dtype, where, sorted(self.modules.items())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def tokenizer(self) -> TextTokenizer:
        """Tokenizer of the model.

        Raises
        ------
        InputError
            The model has no tokenizer.
        """
        if self._tokenizer is None:
            raise InputError(f"tokenizer: {self.shape.name} has none; copy its tokenizer.json into the folder")
        return self._tokenizer

    def blocks(self, text: str = "wiki", split: str = "calibration", tokens: int = 512, blocks: int = 8) -> TextBlocks:
        """Load blocks of a text for this model; see `Decoder.blocks`."""
        tokenizer = self.tokenizer
        require_length(self.shape, tokens)
        return load_blocks(tokenizer, text, split, tokens, blocks)

    def take_weights(self, decoder: Decoder) -> None:
        """Replace the weights of all linear layers by those of a decoder of the same model, in this model's type.

        Raises
        ------
        InputError
            The model fuses linear layers, or spreads over devices.
        """
        replace_weights(self.model, self.modules, decoder.weights)
        self.sha256 = hashlib.sha256(f"{self._own_sha256} {decoder.sha256}".encode()).hexdigest()

    def linear(self, layer: int, name: str) -> Int4Weights:
        """Weights of a linear layer, rounded to INT4 in groups of 128: q, k, v, o, gate, up or down.

        Raises
        ------
        InputError
            The model has no layer of this name, or its order in a fused layer is not known.
        """
        return Int4Weights.quantize(layer_weights(self.model, self.modules, self.shape, layer, name), 128)

    def nll(self, blocks: NDArray[np.int32], hook: Hook | None = None) -> NDArray[np.float64]:
        """Negative log-likelihoods in nats, float64 ``[blocks, tokens - 1]``; see `Decoder.nll`."""
        size = max(1, self.batch_tokens // blocks.shape[1])
        parts = [blocks[start : start + size] for start in range(0, len(blocks), size)]
        return np.concatenate([self._batch_nll(part, hook) for part in parts])

    def _batch_nll(self, blocks: NDArray[np.int32], hook: Hook | None) -> NDArray[np.float64]:
        torch = self._torch
        rows: list[NDArray[np.float64]] = []
        with torch.inference_mode():
            for final, tokens in zip(self._final(blocks, hook), blocks, strict=True):
                targets = torch.from_numpy(tokens[1:].astype(np.int64))
                tiles = zip(self._tiles(final[:-1]), targets.split(HEAD_TILE), strict=True)
                nll = [
                    torch.nn.functional.cross_entropy(logits, own.to(logits.device), reduction="none")
                    for logits, own in tiles
                ]
                rows.append(torch.cat(nll).double().cpu().numpy())
        return np.stack(rows)

    def hidden(self, tokens: NDArray[np.int32], hook: Hook | None = None, layers: int | None = None) -> FloatArray:
        """Input of the language-model head, float32 ``[tokens, hidden]``, after the final norm; all layers run."""
        with self._torch.inference_mode():
            return self._final(tokens[None], hook)[0].float().cpu().numpy()

    def logit_tiles(self, hidden: FloatArray) -> Iterator[FloatArray]:
        """Logits after the rows of `hidden`: float32 ``[tile, vocabulary]``, in order."""
        torch = self._torch
        for rows in torch.from_numpy(hidden).split(HEAD_TILE):
            with torch.inference_mode():  # not around the yield: the mode would stay on in the caller
                (logits,) = self._tiles(rows.to(self._head.weight.dtype))
            yield logits.cpu().numpy()

    def logits(self, tokens: NDArray[np.int32], hook: Hook | None = None) -> FloatArray:
        """Logits of the next token after each token: float32 ``[tokens, vocabulary]``."""
        return np.concatenate(list(self.logit_tiles(self.hidden(tokens, hook))))

    @property
    def _head(self) -> Any:
        return self.model.get_output_embeddings()

    def _tiles(self, final: Tensor) -> Iterator[Tensor]:
        for rows in final.split(HEAD_TILE):
            logits = self._head(rows.to(self._head.weight.device)).float()
            yield logits if self._softcap is None else self._softcap * self._torch.tanh(logits / self._softcap)

    def _final(self, blocks: NDArray[np.int32], hook: Hook | None) -> Tensor:
        """Inputs of the head ``[blocks, tokens, hidden]``."""
        torch = self._torch
        require_length(self.shape, blocks.shape[1])
        ids = torch.from_numpy(blocks.astype(np.int64)).to(self.model.device)
        if not self._head_checked:
            self._check_head(ids[:1, :4])
        context = nullcontext() if hook is None else hooked(self.model, self.modules, hook)
        try:
            with context:
                return self._run(ids)
        except RuntimeError as error:
            if "out of memory" in str(error).lower():
                raise InputError(
                    f"device: {self.device} has too little memory for {len(ids)} blocks of {ids.shape[1]} tokens; "
                    "use --device-map auto, shorter blocks or another device"
                ) from None
            raise

    def _run(self, ids: Tensor) -> Tensor:
        return self.model.base_model(input_ids=ids, use_cache=False).last_hidden_state

    def _check_head(self, ids: Tensor) -> None:
        """Refuse a model that does more with its logits than the head and its soft cap do."""
        expected = self.model(input_ids=ids, use_cache=False).logits[0].float()
        found = self._torch.cat(list(self._tiles(self._run(ids)[0])))
        if not self._torch.allclose(found.to(expected.device), expected, rtol=1e-2, atol=1e-2):
            raise InputError(
                f"model: {self.shape.family} changes its logits after the head in a way that is not known here; "
                "use another model"
            )
        self._head_checked = True


def model_path(model: str | Path) -> Path:
    """Folder or GGUF file of a model that transformers can read.

    Raises
    ------
    InputError
        There is no such folder or file, or the model was not fetched.
    """
    path, name = Path(model), str(model).lower()
    if pieced := pieced_models().get(name):
        path = pieced.path
    elif name == FETCHED_MODEL.lower():
        path = data_paths().model
    if path.is_dir() or (path.is_file() and is_gguf(path)):
        return path
    raise InputError(f"model: {path} does not exist; give a checkpoint folder, a GGUF file or a model of `anda fetch`")


def describe_modules(modules: Mapping[str, str]) -> str:
    """The mapping in one line: names of the linear layers of each module, without layer numbers, and their count."""
    found: dict[str, dict[str, int]] = {}
    for name, module in modules.items():
        end = re.sub(r"^.*?\.\d+\.", "", name)
        ends = found.setdefault(module, {})
        ends[end] = ends.get(end, 0) + 1
    parts = (
        f"{module} = {', '.join(found[module])} (x {max(found[module].values())})"
        for module in MODULES
        if module in found
    )
    return "; ".join(parts)


def _say(text: str) -> None:
    print(f"anda: transformers: {text}", file=sys.stderr, flush=True)


def _weight_files(folder: Path) -> list[Path]:
    """Files of the weights; PyTorch's own only where there are no safetensors, as transformers chooses."""
    return next((found for kind in WEIGHT_FILES if (found := sorted(folder.glob(kind)))), [])


def _load(path: Path, placement: Placement, device: str, announce: bool) -> Any:
    transformers, torch = import_extra("transformers"), import_extra("torch")
    if placement.device_map is not None:
        import_extra("accelerate")
    folder, named = (path.parent, {"gguf_file": path.name}) if path.is_file() else (path, {})
    quiet = transformers.utils.logging
    quiet.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, **named)
        dtype = placement.found_dtype(device, config.dtype)
        with torch.device("meta"):
            empty = transformers.AutoModelForCausalLM.from_config(config)
        parameters = sum(values.numel() for values in {id(own): own for own in empty.parameters()}.values())
        if announce:
            _say(memory_line(parameters, dtype, device))
        if placement.device_map is None:
            require_memory(parameters, dtype, device)
        own = {} if placement.device_map is None else {"device_map": placement.device_map}
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, local_files_only=True, **named, **own
        )
        return (model if own else model.to(device)).eval()
    except (KeyboardInterrupt, InputError):
        raise
    except Exception as error:  # transformers raises every kind
        raise InputError(
            f"model: transformers cannot load {path} ({reason(error)}); give a complete checkpoint"
        ) from None


def _tokenizer(path: Path, shape: ModelShape) -> TextTokenizer | None:
    if path.is_file():
        return gguf_tokenizer(path, read_header(path).fields, shape.vocabulary)
    return read_tokenizer(path, shape.vocabulary) or SlowTokenizer.read(path, shape.vocabulary)
