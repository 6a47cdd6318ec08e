"""What is computed: model shapes, real weights, the decoder forward pass, captured traces, perplexity."""

from .capture import CaptureText, capture_checkpoint
from .checkpoint import load_checkpoint, open_checkpoint
from .decoder import ActivationHook, Decoder, ModuleArithmetic
from .fetch import DataPaths, cache_dir, data_paths, fetch, missing_data
from .gemms import Gemm, bops, bops_saving, gemms
from .hooks import AndaActivations, AndaArithmetic, FormatActivations, Fp16Activations, ModuleActivations
from .load import load_decoder, load_shape
from .perplexity import PairedLoss, evaluate, paired_loss
from .precision import MODULES, Precision
from .prefix import LayeredActivations, PrefixCache
from .sequential import Verdict, sequential_test
from .shapes import ModelShape, model_names, model_shape
from .synthetic import synthetic_decoder
from .text import TextBlocks, load_blocks
from .tokenizer import TextTokenizer, Tokenizer
from .torch_decoder import TorchDecoder, evaluator
from .trace import Trace, capture_trace, sampled_layers

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
