"""Reads a low-rank adapter folder as PEFT writes it.

The folder holds `adapter_config.json` and `adapter_model.safetensors`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from decoding.errors import WeightsError
from decoding.network.adapter import Adapter, LayerAdapter, LowRank
from decoding.network.config import NetworkConfig
from decoding.weights.adapter_config import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    ADVICE,
    AdapterConfig,
)
from decoding.weights.files import open_tensors, read_tensor

MASK_EMBEDDING = "mask_embedding"
_KEY = re.compile(
    r"base_model\.model\.(?P<module>(?:[a-z_]+\.)*layers\.(?P<layer>\d+)\."
    r"(?:self_attn\.[qkvo]|mlp\.(?:gate|up|down))_proj)"
    r"\.lora_(?P<half>[AB])(?:\.\w+)?\.weight"
)


@dataclass(frozen=True, slots=True)
class DraftAdapter:
    """An adapter, and the embedding of a mask token where it brings one."""

    adapter: Adapter | None = None
    mask_embedding_E: Tensor | None = None


NO_DRAFT = DraftAdapter()


def read_adapter(
    directory: Path, config: NetworkConfig, *, dtype: torch.dtype, device: torch.device
) -> DraftAdapter:
    """The adapter of a folder, for a network of that configuration.

    Any of the layers' projections may have one. A tensor `mask_embedding` [hidden] gives the
    network a mask token of its own. Raises `WeightsError` naming the file and the key.
    """
    settings = AdapterConfig.read(directory / ADAPTER_CONFIG)
    file = _File(directory / ADAPTER_WEIGHTS, settings, config, dtype, device)
    settings.check_targets(file.modules)
    return DraftAdapter(
        Adapter(tuple(file.layer(index) for index in range(config.num_layers))),
        file.mask_embedding_E(),
    )


class _File:
    """The tensors of adapter_model.safetensors, by layer and projection."""

    def __init__(
        self,
        path: Path,
        settings: AdapterConfig,
        config: NetworkConfig,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._path = path
        self._settings = settings
        self._config = config
        self._dtype = dtype
        self._device = device
        self._opened = open_tensors(path, ADVICE)
        self._keys: dict[str, str] = {}  # "<layer>.<projection>.<half>" -> key
        self._modules: dict[str, str] = {}  # "<layer>.<projection>" -> PEFT's name of it
        self._has_mask = False
        for key in self._opened.keys():  # noqa: SIM118 - not a mapping
            self._sort(key)
        if not self._modules:
            raise WeightsError("the adapter file holds no adapter tensors", path)

    @property
    def modules(self) -> list[str]:
        return list(self._modules.values())

    def layer(self, index: int) -> LayerAdapter:
        return LayerAdapter(
            qkv=self._fused(index, ("q_proj", "k_proj", "v_proj")),
            output=self._fused(index, ("o_proj",)),
            gate_up=self._fused(index, ("gate_proj", "up_proj")),
            down=self._fused(index, ("down_proj",)),
        )

    def mask_embedding_E(self) -> Tensor | None:  # noqa: N802 - a tensor's name
        if not self._has_mask:
            return None
        hidden = (self._config.hidden_size,)
        return self._read(MASK_EMBEDDING, hidden, "config.json").to(self._device, self._dtype)

    def _sort(self, key: str) -> None:
        if key == MASK_EMBEDDING:
            self._has_mask = True
            return
        match = _KEY.fullmatch(key)
        if match is None:
            raise WeightsError(
                "the adapter changes something other than the layers' projections, "
                "which is not supported",
                self._path,
                key,
            )
        if int(match["layer"]) >= self._config.num_layers:
            raise WeightsError(
                f"the adapter is for another network: this one has {self._config.num_layers} "
                "layers, counted from 0",
                self._path,
                key,
            )
        place = f"{int(match['layer'])}.{match['module'].rsplit('.', 1)[1]}"
        self._modules[place] = match["module"]
        if self._keys.setdefault(f"{place}.{match['half']}", key) != key:
            raise WeightsError("the adapter holds two tensors for one place", self._path, key)

    def _fused(self, layer: int, projections: Sequence[str]) -> LowRank | None:
        """The projections that share a product, each in its own block of `up`."""
        shapes = projection_shapes(self._config)
        present = [name for name in projections if f"{layer}.{name}" in self._modules]
        if not present:
            return None
        halves = {name: self._halves(layer, name) for name in present}
        rank = sum(len(down) for down, _ in halves.values())
        up = torch.zeros(sum(shapes[name][0] for name in projections), rank)
        row = column = 0
        for name in projections:
            if name in halves:
                part = halves[name][1]
                up[row : row + len(part), column : column + part.shape[1]] = part
                column += part.shape[1]
            row += shapes[name][0]
        down = torch.cat([halves[name][0] for name in present])
        return LowRank(down.to(self._device, self._dtype), up.to(self._device, self._dtype))

    def _halves(self, layer: int, projection: str) -> tuple[Tensor, Tensor]:
        """A [r, in] and scale * B [out, r], in float32."""
        place = f"{layer}.{projection}"
        module = self._modules[place]
        num_out, num_in = projection_shapes(self._config)[projection]
        rank = self._settings.rank(module)
        for half, other in ("AB", "BA"):
            if f"{place}.{half}" not in self._keys:
                raise WeightsError(
                    f"the tensor's other half, lora_{half}, is missing; fetch the adapter again",
                    self._path,
                    self._keys[f"{place}.{other}"],
                )
        origin = f"{ADAPTER_CONFIG} over config.json"
        down = self._read(self._keys[f"{place}.A"], (rank, num_in), origin)
        up = self._read(self._keys[f"{place}.B"], (num_out, rank), origin)
        return down, up * self._settings.scale(module)

    def _read(self, key: str, shape: tuple[int, ...], origin: str) -> Tensor:
        tensor = read_tensor(self._opened, self._path, key, shape, origin).float()
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(
                "the tensor holds values that are not finite numbers; fetch the adapter again",
                self._path,
                key,
            )
        return tensor


def projection_shapes(config: NetworkConfig) -> dict[str, tuple[int, int]]:
    """(out, in) of each projection of a layer."""
    hidden, inner = config.hidden_size, config.feed_forward_size
    queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    return {
        "q_proj": (queries, hidden),
        "k_proj": (keys, hidden),
        "v_proj": (keys, hidden),
        "o_proj": (hidden, queries),
        "gate_proj": (inner, hidden),
        "up_proj": (inner, hidden),
        "down_proj": (hidden, inner),
    }
