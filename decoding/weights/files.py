"""Opens safetensors files and takes floating-point tensors from them, or says what is wrong."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from decoding.errors import WeightsError

_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def open_tensors(file: Path, advice: str = "fetch the checkpoint again") -> Any:
    """The opened file, a `safetensors.safe_open`. Raises `WeightsError`.

    `advice` says what to do where there is no file.
    """
    if not file.exists():
        raise WeightsError(f"the weights file {file.name} is missing; {advice}", file)
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"the weights file is damaged or cut short ({error}); fetch it again", file
        ) from error


def read_tensor(opened: Any, file: Path, key: str, shape: tuple[int, ...], origin: str) -> Tensor:
    """The tensor, possibly a view of the file. `origin` names the file that gives the shape.

    Raises `WeightsError` for a tensor that is absent, of another shape, or not of floats.
    """
    try:
        tensor: Tensor = opened.get_tensor(key)
    except SafetensorError as error:
        raise WeightsError(f"the tensor cannot be read ({error})", file, key) from error
    if tuple(tensor.shape) != shape:
        raise WeightsError(
            f"the tensor has shape {list(tensor.shape)}, {origin} calls for {list(shape)}",
            file,
            key,
        )
    if tensor.dtype not in _FLOATS:
        raise WeightsError(
            f"the tensor holds {str(tensor.dtype).removeprefix('torch.')}; "
            "use the float16, bfloat16 or float32 weights",
            file,
            key,
        )
    return tensor
