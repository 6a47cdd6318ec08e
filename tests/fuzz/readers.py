"""Every reader of files, a valid sample of each, and how its cases are made."""

import json
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from anda_codesign.experiments.reproduce.figures.published import PrecisionSets
from anda_codesign.experiments.sweep.spec import load_spec
from anda_codesign.formats import AndaFormat, AndaTensor, Int4Weights, read_weights, weight_quantizer
from anda_codesign.formats.accelerator import AcceleratorConfig
from anda_codesign.formats.accelerator.assembler import assemble, disassemble
from anda_codesign.formats.accelerator.layout import activation_rows, pack_rows
from anda_codesign.formats.accelerator.memory_image import compile_gemms, read_tensor
from anda_codesign.formats.weights import serialization as weight_file
from anda_codesign.rtl.synthesis.liberty.cells import CellLibrary
from anda_codesign.sim import load_architecture, load_technology
from anda_codesign.sim.config.weights import load_weights
from anda_codesign.sim.memory.hbm import load_memory
from anda_codesign.workloads import ModelShape, Trace, capture_trace, load_checkpoint, load_shape, synthetic_decoder
from anda_codesign.workloads.integer_only.io import load_integer_weights, save_integer_weights
from anda_codesign.workloads.integer_only.smoothed_blocks import float_blocks
from anda_codesign.workloads.integer_only.weights import IntegerConfig, IntegerDecoderWeights
from anda_codesign.workloads.loading.gguf_file import read_gguf
from anda_codesign.workloads.models.shape_files import shape_yaml
from anda_codesign.workloads.text.blocks import TextBlocks
from anda_codesign.workloads.text.hf_tokenizer import read_tokenizer
from anda_codesign.workloads.text.tokenizer import byte_characters
from anda_codesign.workloads.traces.metadata import CHECKSUM, checksum
from anda_codesign.workloads.traces.trace import layer_file
from mutations import dump, mutate_bytes, mutate_json, mutate_text, mutate_tree
from pydantic import BaseModel
from safetensors.numpy import load, save

import anda_codesign

ROOT = Path(__file__).parents[2]
TINY = ModelShape(
    name="tiny",
    family="llama",
    hidden=32,
    ffn=32,
    layers=1,
    heads=2,
    kv_heads=1,
    vocabulary=8,
    gated=True,
    max_length=16,
)
TINY_CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 8,
    "max_position_embeddings": 16,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "original_max_position_embeddings": 8,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
    },
}
GPTQ_CONFIG = TINY_CONFIG | {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 16}}
OPT_CONFIG = {
    "model_type": "opt",
    "hidden_size": 32,
    "ffn_dim": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 8,
    "max_position_embeddings": 16,
    "word_embed_proj_dim": 32,
}


@dataclass(frozen=True)
class Reader:
    """A reader under test."""

    name: str
    case: Callable[[Random], bytes]
    """A mutated input."""
    read: Callable[[bytes, Path], Any]
    """The value of an input; the folder is for files."""
    write: Callable[[Any], bytes] | None = None
    """The inverse of `read`, where there is one."""


def plain(value: Any) -> Any:
    """A value that compares by content: arrays as type, shape and bytes, objects as their fields."""
    match value:
        case np.ndarray():
            return str(value.dtype), value.shape, value.tobytes()
        case BaseModel():
            return plain(value.model_dump())
        case _ if is_dataclass(value):
            return type(value).__name__, [(field.name, plain(getattr(value, field.name))) for field in fields(value)]
        case Mapping():
            return [(key, plain(value[key])) for key in value]
        case list() | tuple():
            return [plain(part) for part in value]
        case _:
            return repr(value)


def file(folder: Path, name: str, data: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(data)
    return path


def text_case(mutate: Callable[[Random, str], str], *samples: Path | str) -> Callable[[Random], bytes]:
    texts = [sample.read_text("utf-8") if isinstance(sample, Path) else sample for sample in sorted(samples, key=str)]
    return lambda rng: mutate(rng, rng.choice(texts)).encode("utf-8", "surrogatepass")


def header_case(rng: Random, data: bytes) -> bytes:
    """A safetensors file with its bytes or its header mutated."""
    if rng.random() < 0.3:
        return mutate_bytes(rng, data, 200)
    size = int.from_bytes(data[:8], "little")
    header = mutate_json(rng, data[8 : 8 + size].decode()).encode("utf-8", "surrogatepass")
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


# Models


@cache
def tiny_tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {f"self_attn.{name}_proj": (16 if name in "kv" else 32, 32) for name in "qkvo"}
    shapes |= {f"mlp.{name}_proj": (32, 32) for name in ("gate", "up", "down")}
    tensors = {f"model.layers.0.{name}.weight": rng.standard_normal(shape) for name, shape in shapes.items()}
    for name in ("model.norm", "model.layers.0.input_layernorm", "model.layers.0.post_attention_layernorm"):
        tensors[f"{name}.weight"] = np.ones(32)
    tensors["model.embed_tokens.weight"] = rng.standard_normal((8, 32))
    return {name: values.astype(np.float32) for name, values in tensors.items()}


INDEX = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(tiny_tensors(), "model.safetensors")}


def checkpoint(name: str) -> Callable[[bytes, Path], Any]:
    """Reads a checkpoint folder whose file `name` is the input."""

    def read(data: bytes, folder: Path) -> Any:
        given = {"config.json": dump(TINY_CONFIG).encode(), "model.safetensors": save(tiny_tensors())}
        for existing in folder.iterdir():
            existing.unlink()
        for path, content in (given | {name: data}).items():
            file(folder, path, content)
        return plain(load_checkpoint(folder).weights)

    return read


@cache
def gguf_sample(folder: Path) -> bytes:
    import gguf

    path = folder / "sample.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(32)
    writer.add_block_count(1)
    writer.add_context_length(16)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([*byte_characters(), "ab", "cd"])
    writer.add_token_merges(["a b", "c d"])
    names = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output"}
    names |= {"gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}
    kind = gguf.GGMLQuantizationType.Q4_1
    for name, values in tiny_tensors().items():
        part = name.split(".")[-2]
        if part in names:
            writer.add_tensor(f"blk.0.{names[part]}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(32, np.float32))
    writer.add_tensor("token_embd.weight", np.ones((258, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def read_gguf_file(data: bytes, folder: Path) -> Any:
    weights, tokenizer = read_gguf(file(folder, "model.gguf", data), replace(TINY, vocabulary=258))
    return plain(weights), None if tokenizer is None else (tokenizer.encode("abcd").tolist(), len(tokenizer))


TOKENIZER = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "post_processor": None,
    "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "c": 3}, "merges": [["a", "b"]]},
}


def read_tokenizer_file(data: bytes, folder: Path) -> Any:
    file(folder, "tokenizer.json", data)
    tokenizer = read_tokenizer(folder)
    assert tokenizer is not None
    ids = tokenizer.encode("abc")
    return ids.tolist(), tokenizer.decode(ids)


@cache
def integer_sample() -> tuple[str, bytes]:
    weights = synthetic_decoder(TINY).weights
    config = IntegerConfig(weight_bits=4, activation_bits=8, anchor="minimum", guard_bits=3)
    with TemporaryDirectory() as folder:
        save_integer_weights(folder, IntegerDecoderWeights.quantize(weights, float_blocks(weights), config), {})
        return Path(folder, "model.json").read_text(), Path(folder, "integer.safetensors").read_bytes()


def integer_case(rng: Random) -> bytes:
    """A description without checksum, as earlier versions wrote it."""
    description = json.loads(integer_sample()[0])
    del description["checksum"]
    return mutate_json(rng, json.dumps(description)).encode("utf-8", "surrogatepass")


def read_integer_model(data: bytes, folder: Path) -> Any:
    file(folder, "integer.safetensors", integer_sample()[1])
    file(folder, "model.json", data)
    return plain(load_integer_weights(folder))


# Traces


@cache
def trace_sample() -> bytes:
    decoder = synthetic_decoder(TINY)
    trace = capture_trace(decoder, TextBlocks(np.zeros((1, 4), np.int32)), [0], 4)
    return save(dict(trace.tensors), {"anda_trace": json.dumps(dict(trace.metadata))})


def trace_case(rng: Random) -> bytes:
    data = trace_sample()
    if rng.random() < 0.4:
        return header_case(rng, data)
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["anda_trace"])
    tensors = load(data)
    if rng.random() < 0.4:
        name = rng.choice(sorted(tensors))
        tensors[name] = other_array(rng, tensors[name])
    else:
        metadata = mutate_tree(rng, metadata)
    return save(tensors, {"anda_trace": dump(metadata)})


def other_array(rng: Random, array: np.ndarray) -> np.ndarray:
    """An array with another type, shape or value."""
    match rng.randrange(5):
        case 0:
            return array.astype(rng.choice([np.int8, np.uint8, np.uint16, np.uint32, np.float32, np.float64, np.bool_]))
        case 1:
            return np.ascontiguousarray(array.reshape(-1))
        case 2:
            return np.ascontiguousarray(array[: rng.randrange(len(array) + 1)])
        case 3:
            return np.ascontiguousarray(array[None])
        case _:
            changed = np.frombuffer(
                mutate_bytes(rng, array.tobytes())[: array.nbytes].ljust(array.nbytes, b"\0"), np.uint8
            )
            return changed.view(array.dtype).reshape(array.shape)


def read_trace(data: bytes, folder: Path) -> Any:
    trace = Trace.load(file(folder, "trace.safetensors", data))
    json.dumps(anda_codesign.trace_info(trace=folder / "trace.safetensors").to_dict())
    return {"metadata": dict(trace.metadata), "tensors": dict(trace.tensors)}


def write_trace(value: Any) -> bytes:
    return save(value["tensors"], {"anda_trace": json.dumps(value["metadata"])})


@cache
def capture_sample() -> dict[str, Any]:
    from hashlib import sha256

    data = trace_sample()
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["anda_trace"])
    return {"metadata": metadata, "done": 1, "files": {"0": sha256(data).hexdigest()}, "stream": None}


def capture_case(rng: Random) -> bytes:
    """A record with a checksum that is right, or with other characters."""
    record = capture_sample()
    if rng.random() < 0.2:
        return mutate_text(rng, json.dumps(record | {CHECKSUM: checksum(record)})).encode("utf-8", "surrogatepass")
    record = mutate_tree(rng, record)
    if isinstance(record, dict):
        record[CHECKSUM] = checksum(record)
    return dump(record).encode("utf-8", "surrogatepass")


def read_capture(data: bytes, folder: Path) -> Any:
    file(folder, layer_file(0), trace_sample())
    file(folder, "capture.json", data)
    trace = Trace.load(folder)
    json.dumps(anda_codesign.trace_info(trace=folder).to_dict())
    return plain(trace.tensors)


# Weight files, memory images


@cache
def weight_samples() -> list[bytes]:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((32, 16)).astype(np.float32)
    packed = [
        weight_quantizer("rtn", bits=3, group_size=8).quantize(w),
        weight_quantizer("squeezellm", bits=3).quantize(w, np.abs(w)),
        weight_quantizer("spqr", bits=3).quantize(w, np.eye(32)),
    ]
    return [weights.to_bytes() for weights in packed]


def weight_case(rng: Random) -> bytes:
    data = rng.choice(weight_samples())
    if rng.random() < 0.3:
        return header_case(rng, data)
    name, image = weight_file.read(data)
    parameters, arrays = dict(image.parameters), dict(image.arrays)
    if rng.random() < 0.5:
        parameters = mutate_tree(rng, parameters)
    else:
        key = rng.choice(sorted(arrays))
        arrays[key] = other_array(rng, arrays[key])
    if rng.random() < 0.1:
        arrays.pop(rng.choice(sorted(arrays)))
    return seal(name, parameters, arrays)


def seal(name: str, parameters: Any, arrays: dict[str, np.ndarray]) -> bytes:
    """A weight file with a checksum that is right, for any parameters."""
    description = {"version": weight_file.VERSION, "format": name, "parameters": parameters}
    try:
        sha256 = weight_file._checksum(json.loads(dump(description)), arrays)
    except RecursionError:
        sha256 = ""
    return save(arrays, {weight_file.ENTRY: dump(description | {"sha256": sha256})})


@cache
def image_samples() -> list[bytes]:
    x = np.random.default_rng(0).standard_normal((3, 2, 40)).astype(np.float16)
    return [
        AndaFormat(m, group_size=g, mask_rows=r).encode(x).to_bytes()
        for m, g, r in ((5, 8, 0), (3, 64, 2), (9, 128, 4))
    ]


def image_case(rng: Random) -> bytes:
    """A memory image with a checksum that is right, or plainly damaged."""
    data = rng.choice(image_samples())
    if rng.random() < 0.2:
        return mutate_bytes(rng, data)
    body = mutate_bytes(rng, data[:-4], 44)
    if rng.random() < 0.4:
        axes = rng.choice([0, 1, 2, 3, 33, 65, 1 << 31])
        sizes = [rng.choice([0, 1, 2, 40, 1 << 60, (1 << 64) - 1]) for _ in range(min(axes, 70))]
        body = data[:12] + struct.pack(f"<I{len(sizes)}Q", axes, *sizes) + rng.choice([b"", b"", b"\2", data[40:-4]])
    return body + struct.pack("<I", zlib.crc32(body))


MACHINE = AcceleratorConfig(rows=4, columns=4, lanes=8, memory_bits=256, vector_unit=False)


@cache
def accelerator_sample() -> Any:
    rng = np.random.default_rng(0)
    x = AndaFormat(5, group_size=8).encode(rng.standard_normal((4, 16)).astype(np.float16))
    weights = Int4Weights.quantize(rng.standard_normal((16, 8)).astype(np.float32), 8)
    plan, memory = compile_gemms(MACHINE, x, [weights], result_mantissa_bits=4)
    results = activation_rows(MACHINE.format(4).encode(np.ones((4, 8), np.float16)), MACHINE)
    for region, rows in zip(plan.chunks[0].outputs, results, strict=True):
        packed = pack_rows(rows.reshape(region.rows, -1), MACHINE.memory_bits)
        memory[region.memory : region.memory + len(packed)] = packed
    return plan, memory


def accelerator_case(rng: Random) -> bytes:
    _, memory = accelerator_sample()
    data = mutate_bytes(rng, memory.tobytes())
    return data[: memory.nbytes].ljust(memory.nbytes, b"\0")


def read_accelerator(data: bytes, _: Path) -> Any:
    plan, memory = accelerator_sample()
    return plain(read_tensor(plan, np.frombuffer(data, np.uint8).reshape(memory.shape)))


def assembly_sample() -> str:
    plan, _ = accelerator_sample()
    return disassemble(plan.instructions)


# Cell libraries and YAML


def read_library(data: bytes, folder: Path) -> Any:
    library = CellLibrary([file(folder, "tiny.lib", data)])
    cells = [library.cell(name) for name in library.cell_names]
    tables = [[pin.function.table for pin in cell.outputs if pin.function] for cell in cells]
    return library.voltage, plain(cells), [cell.kind for cell in cells], tables


def yaml_reader(name: str, load: Callable[[Path], Any], *samples: Path | str) -> Reader:
    def read(data: bytes, folder: Path) -> Any:
        return plain(load(file(folder, "mine.yaml", data)))

    return Reader(name, text_case(mutate_text, *samples), read)


def read_sweep(path: Path) -> Any:
    """A sweep and its points; of a search, which has them later, the budget."""
    spec = load_spec(path)
    return spec, spec.size() if spec.sampling.method == "search" else [str(point) for point in spec.points()]


PRECISIONS = """PTB:
  1%:
    OPT-1.3B: "7,5,5,5"
    LLaMA-7B: [7, 5, 6, 6]
  2%: {OPT-125M: "7,7,7,7"}
"""


def read_precisions(data: bytes, folder: Path) -> Any:
    return PrecisionSets.load(file(folder, "mine.yaml", data)).key()


def model_configs() -> list[Path]:
    return sorted((ROOT / "tests" / "workloads" / "models" / "configs").glob("*/config.json"))


def model_files() -> list[str]:
    """Models of all families as YAML."""
    return [shape_yaml(load_shape(path)) for path in model_configs()]


def read_model(name: str) -> Callable[[bytes, Path], Any]:
    """Reads a model's shape from a file of this name."""
    return lambda data, folder: plain(load_shape(file(folder, name, data)))


def readers(scratch: Path) -> list[Reader]:
    sim, sweeps = ROOT / "sim", ROOT / "experiments" / "sweep" / "questions"
    return [
        Reader("GGUF", lambda rng: mutate_bytes(rng, gguf_sample(scratch), 1200), read_gguf_file),
        Reader("safetensors", lambda rng: header_case(rng, save(tiny_tensors())), checkpoint("model.safetensors")),
        Reader(
            "config.json",
            text_case(mutate_json, *map(dump, (TINY_CONFIG, GPTQ_CONFIG, OPT_CONFIG))),
            checkpoint("config.json"),
        ),
        Reader("checkpoint index", text_case(mutate_json, dump(INDEX)), checkpoint("model.safetensors.index.json")),
        Reader("tokenizer.json", text_case(mutate_json, dump(TOKENIZER)), read_tokenizer_file),
        Reader("trace", trace_case, read_trace, write_trace),
        Reader("capture.json", capture_case, read_capture),
        Reader("weight file", weight_case, lambda data, _: read_weights(data), lambda weights: weights.to_bytes()),
        Reader("memory image", image_case, lambda data, _: AndaTensor.from_bytes(data), lambda x: x.to_bytes()),
        Reader("accelerator memory", accelerator_case, read_accelerator),
        Reader(
            "accelerator program",
            text_case(mutate_text, assembly_sample()),
            lambda data, _: assemble(data.decode("utf-8", "replace")),
            lambda program: disassemble(program).encode(),
        ),
        Reader("Liberty", text_case(mutate_text, Path(__file__).with_name("tiny.lib")), read_library),
        yaml_reader("architecture YAML", load_architecture, *sim.glob("architectures/*.yaml")),
        yaml_reader("technology YAML", load_technology, *sim.glob("technology/*.yaml")),
        yaml_reader("memory YAML", load_memory, *sim.glob("memory/*.yaml")),
        yaml_reader("weight format YAML", load_weights, *sim.glob("weights/*.yaml")),
        yaml_reader("sweep YAML", read_sweep, *sweeps.glob("*.yaml")),
        yaml_reader("model YAML", load_shape, *model_files()),
        Reader("model config.json", text_case(mutate_json, *model_configs()), read_model("config.json")),
        Reader("model GGUF", lambda rng: mutate_bytes(rng, gguf_sample(scratch), 1200), read_model("model.gguf")),
        Reader("precisions YAML", text_case(mutate_text, PRECISIONS), read_precisions),
        Reader("integer model", integer_case, read_integer_model),
    ]
