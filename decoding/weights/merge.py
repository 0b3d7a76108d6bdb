"""Merges a low-rank adapter into a checkpoint's weights.

The product is another model, with no adapter to be computed. Changed matrices are rounded to
8 bits in groups of 32, a form that the compiled forward reads as it is (GGUF's Q8_0).
"""

import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from decoding.errors import WeightsError
from decoding.jsonfile import read_json_object
from decoding.network.adapter import LayerAdapter, LowRank
from decoding.network.config import NetworkConfig
from decoding.weights.adapter import projection_shapes, read_adapter
from decoding.weights.files import open_tensors
from decoding.weights.kept_copy import WEIGHTS, files_of

_GROUP = 32
_LARGEST = 127


def merge(base: Path, adapter: Path, out: Path) -> None:
    """Writes to `out` what `base` is with the adapter: its other files, and float32 weights.

    `base` is a directory with a single file of weights. Raises `WeightsError` naming file and key
    where the two do not belong together.
    """
    config = NetworkConfig.from_hf(read_json_object(base / "config.json"))
    found = read_adapter(adapter, config, dtype=torch.float32, device=torch.device("cpu"))
    if found.adapter is None or found.mask_embedding_E is not None:
        raise WeightsError("an adapter that drafts is not for merging into the weights", adapter)
    with open_tensors(base / WEIGHTS) as weights:
        tensors = {key: weights.get_tensor(key).float() for key in weights.keys()}  # noqa: SIM118
    for index, layer in enumerate(found.adapter.layers):
        for name, delta in _deltas(layer, config).items():
            block = "self_attn" if name[0] in "qkvo" else "mlp"
            key = f"model.layers.{index}.{block}.{name}.weight"
            if key not in tensors:
                raise WeightsError("the checkpoint has no such weight", base / WEIGHTS, key)
            tensors[key] = rounded(tensors[key] + delta)
    for file in files_of(base):
        if file.name != WEIGHTS:
            shutil.copy(file, out / file.name)
    save_file(tensors, out / WEIGHTS, metadata={"format": "pt"})


def rounded(weight: Tensor) -> Tensor:
    """The nearest [outputs, inputs] that 8 bits hold exactly: in groups of 32 inputs, whole
    numbers up to 127 times a half-precision scale."""
    outputs, inputs = weight.shape
    padding = -inputs % _GROUP
    groups_NG = torch.nn.functional.pad(weight.float(), (0, padding)).view(-1, _GROUP)
    scale_N1 = (groups_NG.abs().amax(1, keepdim=True) / _LARGEST).half().float()
    whole_NG = (groups_NG / scale_N1.clamp(min=1e-8)).round_().clamp_(-_LARGEST, _LARGEST)
    return (whole_NG * scale_N1).view(outputs, -1)[:, :inputs].contiguous()


def _deltas(layer: LayerAdapter, config: NetworkConfig) -> dict[str, Tensor]:
    """What is added to each projection's weight."""
    shapes = projection_shapes(config)
    fused: tuple[tuple[LowRank | None, tuple[str, ...]], ...] = (
        (layer.qkv, ("q_proj", "k_proj", "v_proj")),
        (layer.output, ("o_proj",)),
        (layer.gate_up, ("gate_proj", "up_proj")),
        (layer.down, ("down_proj",)),
    )
    deltas: dict[str, Tensor] = {}
    for low_rank, names in fused:
        if low_rank is not None:
            parts = (low_rank.up @ low_rank.down).split([shapes[name][0] for name in names])
            deltas |= dict(zip(names, parts, strict=True))
    return deltas
