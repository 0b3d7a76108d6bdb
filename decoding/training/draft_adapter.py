"""Adapters while they are trained, and their files as PEFT lays them out."""

import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from decoding.network.adapter import Adapter, LayerAdapter, LowRank
from decoding.network.config import NetworkConfig
from decoding.weights.adapter import MASK_EMBEDDING, projection_shapes
from decoding.weights.adapter_config import ADAPTER_CONFIG, ADAPTER_WEIGHTS

_FUSED = (
    ("q_proj", "k_proj", "v_proj"),
    ("o_proj",),
    ("gate_proj", "up_proj"),
    ("down_proj",),
)
_BLOCK_OF = {
    name: "self_attn" if names[0] in ("q_proj", "o_proj") else "mlp"
    for names in _FUSED
    for name in names
}


class LowRankAdapter(nn.Module):
    """Low-rank changes of all projections of the layers.

    Kept in float32, whatever the network computes in. As it starts, it changes nothing.
    Source: LoRA, arXiv 2106.09685.
    """

    def __init__(self, config: NetworkConfig, rank: int, alpha: float) -> None:
        super().__init__()
        self.rank, self.alpha = rank, alpha
        self._num_layers = config.num_layers
        self.down = nn.ParameterDict()
        self.up = nn.ParameterDict()
        for layer in range(config.num_layers):
            for name, (num_out, num_in) in projection_shapes(config).items():
                down = torch.empty(rank, num_in)
                nn.init.kaiming_uniform_(down, a=math.sqrt(5))
                self.down[f"{layer}/{name}"] = nn.Parameter(down)
                self.up[f"{layer}/{name}"] = nn.Parameter(torch.zeros(num_out, rank))

    def adapter(self, dtype: torch.dtype) -> Adapter:
        """As the network takes it, differentiable."""
        return Adapter(
            tuple(
                LayerAdapter(*(self._low_rank(layer, names, dtype) for names in _FUSED))
                for layer in range(self._num_layers)
            )
        )

    def _low_rank(self, layer: int, names: tuple[str, ...], dtype: torch.dtype) -> LowRank:
        scale = self.alpha / self.rank
        downs = [self.down[f"{layer}/{name}"] for name in names]
        ups = [self.up[f"{layer}/{name}"] * scale for name in names]
        return LowRank(torch.cat(downs).to(dtype), torch.block_diag(*ups).to(dtype))

    def tensors(self) -> dict[str, nn.Parameter]:
        """All that is learned, by the names that files have for it."""
        halves = (("A", self.down), ("B", self.up))
        return {_key(place, half): of[place] for place in self.down for half, of in halves}

    def save(self, directory: Path, dtype: torch.dtype = torch.float16) -> None:
        """Writes both files, making the folder where there is none."""
        directory.mkdir(parents=True, exist_ok=True)
        config = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": False,
            "inference_mode": True,
            "target_modules": [name for names in _FUSED for name in names],
        }
        text = json.dumps(config, indent=2) + "\n"
        (directory / ADAPTER_CONFIG).write_text(text, encoding="utf-8")
        kept = {
            key: each.detach().to("cpu", dtype).contiguous() for key, each in self.tensors().items()
        }
        save_file(kept, directory / ADAPTER_WEIGHTS, metadata={"format": "pt"})

    def load(self, directory: Path) -> None:
        """Goes on from files that `save` wrote for the same network, with this rank or a lower one.

        Raises `ValueError` for a higher one.
        """
        config = json.loads((directory / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        rank = config["r"]
        if rank > self.rank:
            raise ValueError(
                f"the adapter in {directory} has rank {rank}, which does not fit into rank "
                f"{self.rank}: train with rank={rank} or more"
            )
        kept = load_file(directory / ADAPTER_WEIGHTS)
        scale = config["lora_alpha"] / rank * self.rank / self.alpha
        with torch.no_grad():
            for place, down in self.down.items():
                down[:rank] = kept.pop(_key(place, "A"))
                self.up[place].zero_()[:, :rank] = kept.pop(_key(place, "B")) * scale
            for key, tensor in self.tensors().items():
                if key in kept:
                    tensor.copy_(kept[key])


class DraftAdapter(LowRankAdapter):
    """With the vector that masks are read as."""

    def __init__(self, config: NetworkConfig, rank: int, alpha: float, mask_E: Tensor) -> None:
        super().__init__(config, rank, alpha)
        self.mask_E = nn.Parameter(mask_E.float().clone())

    def tensors(self) -> dict[str, nn.Parameter]:
        return {MASK_EMBEDDING: self.mask_E, **super().tensors()}


def _key(place: str, half: str) -> str:
    layer, name = place.split("/")
    module = f"model.layers.{layer}.{_BLOCK_OF[name]}.{name}"
    return f"base_model.model.{module}.lora_{half}.weight"
