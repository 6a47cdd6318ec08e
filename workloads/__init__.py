"""Workloads: model shapes, real weights, the decoder's forward pass, captured activations (traces), perplexity."""

from .evaluation.perplexity import PairedLoss, evaluate, paired_loss
from .evaluation.sequential import Verdict, sequential_test
from .fetch import DataPaths, cache_dir, data_paths, fetch, missing_data
from .inference.decoder import ActivationHook, Decoder, ModuleArithmetic
from .inference.hooks import (
    AndaActivations,
    AndaArithmetic,
    FormatActivations,
    Fp16Activations,
    LayeredActivations,
    ModuleActivations,
)
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
    "LayeredActivations",
    "ModelShape",
    "ModuleActivations",
    "ModuleArithmetic",
    "PairedLoss",
    "Precision",
    "PrefixCache",
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
