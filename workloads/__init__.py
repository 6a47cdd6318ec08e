"""Workloads: model shapes, real weights, the decoder's forward pass, captured activations (traces), perplexity.

The public names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .fetch import DataPaths, cache_dir, data_paths, fetch, missing_data

if TYPE_CHECKING:
    from .evaluation.perplexity import PairedLoss, evaluate, paired_loss
    from .evaluation.sequential import Verdict, sequential_test
    from .inference.decoder import ActivationHook, Decoder, ModuleArithmetic
    from .inference.hooks import (
        AndaActivations,
        AndaArithmetic,
        FormatActivations,
        Fp16Activations,
        LayeredActivations,
        ModuleActivations,
    )
    from .inference.language_model import LanguageModel, ScoredModel
    from .inference.prefix_cache import PrefixCache
    from .inference.torch_decoder import TorchDecoder, evaluator
    from .loading.checkpoint import load_checkpoint, open_checkpoint
    from .loading.load import load_decoder, load_shape
    from .loading.synthetic import synthetic_decoder
    from .models.gemms import Gemm, bops, bops_saving, gemms
    from .models.precision import MODULES, Precision
    from .models.shapes import ModelShape, model_names, model_shape
    from .text.blocks import TextBlocks, load_blocks
    from .text.tokenizer import TextTokenizer, Tokenizer
    from .traces.capture import CaptureText, capture_checkpoint
    from .traces.trace import Trace, capture_trace, sampled_layers

__all__ = [
    "MODULES",
    "ActivationHook",
    "AndaActivations",
    "AndaArithmetic",
    "CaptureText",
    "DataPaths",
    "Decoder",
    "FormatActivations",
    "Fp16Activations",
    "Gemm",
    "LanguageModel",
    "LayeredActivations",
    "ModelShape",
    "ModuleActivations",
    "ModuleArithmetic",
    "PairedLoss",
    "Precision",
    "PrefixCache",
    "ScoredModel",
    "TextBlocks",
    "TextTokenizer",
    "Tokenizer",
    "TorchDecoder",
    "Trace",
    "Verdict",
    "bops",
    "bops_saving",
    "cache_dir",
    "capture_checkpoint",
    "capture_trace",
    "data_paths",
    "evaluate",
    "evaluator",
    "fetch",
    "gemms",
    "load_blocks",
    "load_checkpoint",
    "load_decoder",
    "load_shape",
    "missing_data",
    "model_names",
    "model_shape",
    "open_checkpoint",
    "paired_loss",
    "sampled_layers",
    "sequential_test",
    "synthetic_decoder",
]

_MODULES = {
    "PairedLoss": ".evaluation.perplexity",
    "evaluate": ".evaluation.perplexity",
    "paired_loss": ".evaluation.perplexity",
    "Verdict": ".evaluation.sequential",
    "sequential_test": ".evaluation.sequential",
    "ActivationHook": ".inference.decoder",
    "Decoder": ".inference.decoder",
    "ModuleArithmetic": ".inference.decoder",
    "AndaActivations": ".inference.hooks",
    "AndaArithmetic": ".inference.hooks",
    "FormatActivations": ".inference.hooks",
    "Fp16Activations": ".inference.hooks",
    "LayeredActivations": ".inference.hooks",
    "ModuleActivations": ".inference.hooks",
    "LanguageModel": ".inference.language_model",
    "ScoredModel": ".inference.language_model",
    "PrefixCache": ".inference.prefix_cache",
    "TorchDecoder": ".inference.torch_decoder",
    "evaluator": ".inference.torch_decoder",
    "load_checkpoint": ".loading.checkpoint",
    "open_checkpoint": ".loading.checkpoint",
    "load_decoder": ".loading.load",
    "load_shape": ".loading.load",
    "synthetic_decoder": ".loading.synthetic",
    "Gemm": ".models.gemms",
    "bops": ".models.gemms",
    "bops_saving": ".models.gemms",
    "gemms": ".models.gemms",
    "MODULES": ".models.precision",
    "Precision": ".models.precision",
    "ModelShape": ".models.shapes",
    "model_names": ".models.shapes",
    "model_shape": ".models.shapes",
    "TextBlocks": ".text.blocks",
    "load_blocks": ".text.blocks",
    "TextTokenizer": ".text.tokenizer",
    "Tokenizer": ".text.tokenizer",
    "CaptureText": ".traces.capture",
    "capture_checkpoint": ".traces.capture",
    "Trace": ".traces.trace",
    "capture_trace": ".traces.trace",
    "sampled_layers": ".traces.trace",
}
"""The module of each name."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name], __name__), name)
    globals()[name] = value
    return value
