"""What a checkpoint's config.json says about the network, in our words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from decoding.errors import WeightsError
from decoding.network.rope import Rope, YarnScaling, read_rope

# model_type of config.json -> the keys its absent values default to in `transformers`.
_FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "llama": {"max_position_embeddings": 2048},
    "mistral": {"max_position_embeddings": 131072, "sliding_window": 4096},
    "ministral3": {
        "max_position_embeddings": 262144,
        "head_dim": 128,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 1e6,
            "factor": 16.0,
            "original_max_position_embeddings": 16384,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
            "llama_4_scaling_beta": 0.1,
        },
    },
    "qwen2": {"max_position_embeddings": 32768, "sliding_window": 4096},
    "qwen3": {"max_position_embeddings": 32768, "sliding_window": 4096, "head_dim": 128},
    # The network of ministral3. Its theta differs between sizes, so that has no default.
    "nemotron_labs_diffusion": {
        "vocab_size": 131072,
        "max_position_embeddings": 262144,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "rms_norm_eps": 1e-5,
    },
}
# A vision model around one of the families, under text_config or beside it.
_WRAPPERS = ("mistral3", "nemotron_labs_diffusion_vlm")
_NEMOTRON = "nemotron_labs_diffusion"
_NEMOTRON_CLASSES = ("NemotronLabsDiffusionModel", "MinistralDiffEncoderModel")  # new, older
_QWEN = ("qwen2", "qwen3")
_LAYER_KINDS = ("full_attention", "sliding_attention")


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Shape and rules of one Llama-family network.

    `windows` holds one entry per layer: how many positions back a row sees, itself included,
    or None for all. `dtype` is the checkpoint's own, None where it does not say.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    feed_forward_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    norm_eps: float
    max_positions: int
    rope: Rope
    windows: tuple[int | None, ...]
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    tied_head: bool = False
    mask_token_id: int | None = None
    dtype: torch.dtype | None = None

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise WeightsError(
                f"config.json: {self.num_heads} attention heads cannot share "
                f"{self.num_kv_heads} key/value heads evenly",
                key="num_key_value_heads",
            )
        if self.head_dim % 2:
            raise WeightsError(
                f"config.json: head_dim must be even, not {self.head_dim}", key="head_dim"
            )

    @classmethod
    def from_hf(cls, config: Mapping[str, Any]) -> "NetworkConfig":
        """Reads the object of a config.json; unknown keys are ignored.

        Raises `WeightsError` for a family, rotary scaling or activation that is not supported,
        for a quantised checkpoint, and for a key that is missing or holds no usable value.
        """
        keys = _Keys(config)
        model_type = keys.model_type
        if keys.get("quantization_config") is not None:
            raise WeightsError(
                "config.json: quantised checkpoints are not supported; "
                "use the float16, bfloat16 or float32 weights",
                key="quantization_config",
            )
        if keys.get("hidden_act", "silu") not in ("silu", "swish"):
            raise WeightsError(
                f"config.json: activation {keys.get('hidden_act')!r} is not supported, only 'silu'",
                key="hidden_act",
            )
        num_heads = keys.count("num_attention_heads")
        num_layers = keys.count("num_hidden_layers")
        hidden_size = keys.count("hidden_size")
        attention_bias = bool(keys.get("attention_bias", False))
        rope = _rope(keys)
        return cls(
            model_type=model_type,
            vocab_size=keys.count("vocab_size"),
            hidden_size=hidden_size,
            feed_forward_size=keys.count("intermediate_size"),
            num_layers=num_layers,
            num_heads=num_heads,
            num_kv_heads=keys.count("num_key_value_heads", num_heads),
            head_dim=keys.count("head_dim", hidden_size // num_heads),
            norm_eps=keys.number("rms_norm_eps", 1e-6),
            max_positions=_max_positions(keys.count("max_position_embeddings"), rope),
            rope=rope,
            windows=_windows(keys, num_layers),
            qkv_bias=model_type == "qwen2" or (attention_bias and model_type in ("llama", "qwen3")),
            output_bias=attention_bias and model_type in ("llama", "qwen3"),
            mlp_bias=model_type == "llama" and bool(keys.get("mlp_bias", False)),
            qk_norm=model_type == "qwen3",
            tied_head=bool(keys.get("tie_word_embeddings", False)),
            mask_token_id=_mask_token_id(keys),
            dtype=_dtype(keys),
        )


class _Keys:
    """The keys of one config.json, over the defaults of its family; null counts as absent."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.values: dict[str, Any] = dict(config)
        inner = config.get("text_config")
        if config.get("model_type") in _WRAPPERS and isinstance(inner, Mapping):
            self.values |= inner
        self.model_type = _family(config, str(self.values.get("model_type", "")))
        if self.model_type not in _FAMILIES:
            raise WeightsError(
                f"config.json: model_type {self.model_type!r} is not supported; "
                f"supported are {', '.join(_FAMILIES)}",
                key="model_type",
            )
        for name, default in _FAMILIES[self.model_type].items():
            self.values.setdefault(name, default)

    def get(self, name: str, default: Any = None) -> Any:
        value = self.values.get(name)
        return default if value is None else value

    def count(self, name: str, default: int | None = None) -> int:
        """A positive whole number. Without a default the key must be there."""
        value = self.get(name, default)
        if value is None:
            raise WeightsError("config.json lacks a value the network needs", key=name)
        if type(value) is not int or value < 1:
            raise WeightsError(
                f"config.json: {name} must be a positive whole number, not {value!r}", key=name
            )
        return value

    def number(self, name: str, default: float) -> float:
        value = self.get(name, default)
        if type(value) not in (int, float):
            raise WeightsError(f"config.json: {name} must be a number, not {value!r}", key=name)
        return float(value)


def _family(config: Mapping[str, Any], model_type: str) -> str:
    """The name our rules go by; older checkpoints tell the family only by their class."""
    classes = config.get("architectures")
    known = isinstance(classes, list) and any(each in _NEMOTRON_CLASSES for each in classes)
    return _NEMOTRON if known or model_type == f"{_NEMOTRON}_vlm" else model_type


def _max_positions(written: int, rope: Rope) -> int:
    """What YaRN stretches positions to, where the file names only those of before."""
    scaling = rope.scaling
    if not isinstance(scaling, YarnScaling):
        return written
    return max(written, int(scaling.original_positions * scaling.factor))


def _rope(keys: _Keys) -> Rope:
    given = keys.get("rope_scaling") or keys.get("rope_parameters") or {}
    inner = given.get("rope_theta") if isinstance(given, Mapping) else None
    lacks_theta = inner is None and keys.get("rope_theta") is None
    if keys.model_type == _NEMOTRON and isinstance(given, Mapping) and lacks_theta:
        raise WeightsError(
            "config.json lacks rope_theta, which differs between the sizes of this family",
            key="rope_theta",
        )
    return read_rope(keys.values)


def _mask_token_id(keys: _Keys) -> int | None:
    token_id = keys.get("mask_token_id")
    if token_id is None:
        return None
    vocab_size = keys.count("vocab_size")
    if type(token_id) is not int or not 0 <= token_id < vocab_size:
        raise WeightsError(
            f"config.json: mask_token_id must be a whole number from 0 to {vocab_size - 1}, "
            f"not {token_id!r}",
            key="mask_token_id",
        )
    return token_id


def _windows(keys: _Keys, num_layers: int) -> tuple[int | None, ...]:
    slides = keys.get("use_sliding_window", False) if keys.model_type in _QWEN else True
    if keys.model_type == "llama" or not slides or keys.get("sliding_window") is None:
        return (None,) * num_layers
    window = keys.count("sliding_window")
    if keys.model_type not in _QWEN and keys.get("layer_types") is None:
        return (window,) * num_layers
    first_sliding = keys.number("max_window_layers", 28)
    kinds = keys.get("layer_types") or [
        "full_attention" if layer < first_sliding else "sliding_attention"
        for layer in range(num_layers)
    ]
    known = isinstance(kinds, list) and all(kind in _LAYER_KINDS for kind in kinds)
    if not known or len(kinds) != num_layers:
        raise WeightsError(
            "config.json: layer_types must name full_attention or sliding_attention per layer",
            key="layer_types",
        )
    return tuple(window if kind == "sliding_attention" else None for kind in kinds)


def _dtype(keys: _Keys) -> torch.dtype | None:
    name = keys.get("dtype", keys.get("torch_dtype"))
    dtype = getattr(torch, str(name).removeprefix("torch."), None)
    return dtype if isinstance(dtype, torch.dtype) else None
