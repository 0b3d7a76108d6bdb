"""Reads a Hugging Face checkpoint directory into a network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from decoding.errors import WeightsError
from decoding.jsonfile import read_json_object
from decoding.network.config import NetworkConfig
from decoding.network.transformer import LayerParameters, Parameters, Transformer

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"


def read_network(
    directory: Path, *, dtype: torch.dtype, device: torch.device, name: str
) -> Transformer:
    """The network of a directory as `save_pretrained` writes it, safetensors only.

    Files of sub-folders are never read. Raises `WeightsError` naming the file and the key.
    """
    config = NetworkConfig.from_hf(read_json_object(directory / "config.json"))
    with _Tensors(directory, dtype, device) as tensors:
        return Transformer(config, _parameters(config, tensors), name)


class _Tensors:
    """The tensors of a checkpoint by name, checked for presence and shape as they are taken."""

    def __init__(self, directory: Path, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype = dtype
        self._device = device
        self._files: dict[Path, Any] = {}
        self._directory = directory
        self._file_of = _file_of(directory)

    def __enter__(self) -> "_Tensors":
        return self

    def __exit__(self, *exc: object) -> None:
        self._files.clear()

    def __contains__(self, key: str) -> bool:
        return key in self._file_of

    def take(self, key: str, *shape: int) -> Tensor:
        """The tensor of that name, in the wanted dtype on the wanted device."""
        file = self._file_of.get(key)
        if file is None:
            raise WeightsError(
                "the checkpoint lacks a tensor that its config.json calls for; "
                "fetch the checkpoint again, or correct the config",
                self._directory,
                key,
            )
        try:
            tensor: Tensor = self._open(file).get_tensor(key)
        except SafetensorError as error:
            raise WeightsError(f"the tensor cannot be read ({error})", file, key) from error
        if tuple(tensor.shape) != shape:
            raise WeightsError(
                f"the tensor has shape {list(tensor.shape)}, config.json calls for {list(shape)}",
                file,
                key,
            )
        return tensor.to(device=self._device, dtype=self._dtype)

    def _open(self, file: Path) -> Any:
        if file not in self._files:
            self._files[file] = _open_file(file)
        return self._files[file]


def _open_file(file: Path) -> Any:
    if not file.exists():
        raise WeightsError("the weights file is missing; fetch the checkpoint again", file)
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"the weights file is damaged or cut short ({error}); fetch it again", file
        ) from error


def _file_of(directory: Path) -> Mapping[str, Path]:
    """Where each tensor lies. Rotary tables and the like are computed, not read."""
    if (directory / _INDEX).exists():
        placed = read_json_object(directory / _INDEX).get("weight_map")
        if not isinstance(placed, dict):
            raise WeightsError("the index lacks its weight_map", directory / _INDEX)
        return {key: directory / str(file) for key, file in placed.items()}
    if (directory / _SINGLE).exists():
        return dict.fromkeys(_open_file(directory / _SINGLE).keys(), directory / _SINGLE)
    if any(directory.glob("*.bin")):
        raise WeightsError(
            "the checkpoint has pickled weights (.bin) only, which are not read; "
            "save it again with safe_serialization",
            directory,
        )
    raise WeightsError(f"there is no {_SINGLE} and no {_INDEX}", directory)


def _parameters(config: NetworkConfig, tensors: _Tensors) -> Parameters:
    prefix = "" if "embed_tokens.weight" in tensors else "model."
    if f"{prefix}embed_tokens.weight" not in tensors:
        nested = "language_model.model."
        prefix = nested if f"{nested}embed_tokens.weight" in tensors else prefix
    table = (config.vocab_size, config.hidden_size)
    embedding_VE = tensors.take(f"{prefix}embed_tokens.weight", *table)
    head = prefix.removesuffix("model.") + "lm_head.weight"
    return Parameters(
        embedding_VE=embedding_VE,
        layers=tuple(
            _layer(config, tensors, f"{prefix}layers.{index}.")
            for index in range(config.num_layers)
        ),
        norm_E=tensors.take(f"{prefix}norm.weight", config.hidden_size),
        head_VE=embedding_VE if config.tied_head else tensors.take(head, *table),
    )


def _layer(config: NetworkConfig, tensors: _Tensors, prefix: str) -> LayerParameters:
    hidden, inner = config.hidden_size, config.feed_forward_size
    queries = config.num_heads * config.head_dim
    keys = config.num_kv_heads * config.head_dim
    attention, mlp = f"{prefix}self_attn.", f"{prefix}mlp."

    def fused(stem: str, widths: Mapping[str, int], *columns: int) -> Tensor:
        parts = [
            tensors.take(stem.format(part=part), width, *columns) for part, width in widths.items()
        ]
        return torch.cat(parts)

    qkv = {"q_proj": queries, "k_proj": keys, "v_proj": keys}
    gate_up = {"gate_proj": inner, "up_proj": inner}
    qk_norm_XD = None
    if config.qk_norm:
        query_D = tensors.take(f"{attention}q_norm.weight", config.head_dim)
        key_D = tensors.take(f"{attention}k_norm.weight", config.head_dim)
        qk_norm_XD = torch.cat(
            (query_D.expand(config.num_heads, -1), key_D.expand(config.num_kv_heads, -1))
        )
    return LayerParameters(
        attention_norm_E=tensors.take(f"{prefix}input_layernorm.weight", hidden),
        qkv=fused(attention + "{part}.weight", qkv, hidden),
        output=tensors.take(f"{attention}o_proj.weight", hidden, queries),
        mlp_norm_E=tensors.take(f"{prefix}post_attention_layernorm.weight", hidden),
        gate_up=fused(mlp + "{part}.weight", gate_up, hidden),
        down=tensors.take(f"{mlp}down_proj.weight", hidden, inner),
        qkv_bias=fused(attention + "{part}.bias", qkv) if config.qkv_bias else None,
        output_bias=tensors.take(f"{attention}o_proj.bias", hidden) if config.output_bias else None,
        gate_up_bias=fused(mlp + "{part}.bias", gate_up) if config.mlp_bias else None,
        down_bias=tensors.take(f"{mlp}down_proj.bias", hidden) if config.mlp_bias else None,
        qk_norm_XD=qk_norm_XD,
    )
