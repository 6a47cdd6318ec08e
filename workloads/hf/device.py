"""Device and type of a transformers model, and the memory that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...formats import InputError
from ...formats.checks import check_choice
from ..extras import import_extra

DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("auto", "float16", "bfloat16", "float32")
DEVICE_MAPS = ("auto",)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Device and type in which a model runs.

    Attributes
    ----------
    device
        ``auto`` takes cuda, mps or cpu, the first that is there.
    dtype
        ``auto`` takes the type of the checkpoint on a GPU, and float32 on a CPU.
    device_map
        ``auto`` spreads the model over all GPUs and the CPU (accelerate); None puts it on one device.
    """

    device: str = "auto"
    dtype: str = "auto"
    device_map: str | None = None

    def __post_init__(self) -> None:
        check_choice("device", self.device, DEVICES)
        check_choice("dtype", self.dtype, DTYPES)
        if self.device_map is not None:
            check_choice("device_map", self.device_map, DEVICE_MAPS)

    def found_device(self) -> str:
        """Kind of the device: cpu, cuda or mps.

        Raises
        ------
        InputError
            The machine has no such device.
        """
        torch = import_extra("torch")
        there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        if self.device == "auto":
            return next(kind for kind, found in there.items() if found)
        if not there[self.device]:
            raise InputError(f"device: torch finds no {self.device} here; use {_alternatives(there)}")
        return self.device

    def found_dtype(self, device: str, stored: Any) -> Any:
        """Type of torch for a checkpoint that is stored in the type `stored`, which may be None.

        Raises
        ------
        InputError
            The device does not compute in the type.
        """
        torch = import_extra("torch")
        if self.dtype == "auto":
            return torch.float32 if device == "cpu" or stored is None else stored
        dtype = getattr(torch, self.dtype)
        try:
            ones = torch.ones((2, 2), dtype=dtype, device=device)
            torch.matmul(ones, ones)
        except (RuntimeError, TypeError):
            raise InputError(f"dtype: {device} does not compute in {self.dtype}; use float32") from None
        return dtype


def _alternatives(there: dict[str, bool]) -> str:
    return " or ".join(kind for kind, found in there.items() if found)


def memory_line(parameters: int, dtype: Any, device: str) -> str:
    """Line that states the memory of a model's weights before they are loaded, and the memory that is free."""
    needed = parameters * dtype.itemsize
    name = str(dtype).removeprefix("torch.")
    text = f"{parameters / 1e6:,.1f} million parameters, {needed / 2**30:.2f} GiB in {name} on {device}"
    free = free_bytes(device)
    return text if free is None else f"{text} ({free / 2**30:.1f} GiB free)"


def free_bytes(device: str) -> int | None:
    """Free memory of a device in bytes; None if it is not known."""
    torch = import_extra("torch")
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    if device == "cpu":
        try:
            with open("/proc/meminfo") as file:  # noqa: PTH123
                return 1024 * int(next(line for line in file if line.startswith("MemAvailable")).split()[1])
        except (OSError, StopIteration):
            return None
    return None


def require_memory(parameters: int, dtype: Any, device: str) -> None:
    """Raise `InputError` if a device has too little free memory for the weights."""
    needed, free = parameters * dtype.itemsize, free_bytes(device)
    if free is not None and needed > free:
        raise InputError(
            f"device: the weights take {needed / 2**30:.1f} GiB, {device} has {free / 2**30:.1f} GiB free; "
            "use --device-map auto, a narrower --dtype or another device"
        )
