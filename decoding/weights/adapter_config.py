"""What PEFT's adapter_config.json says of a low-rank adapter.

What it asks for and we would not do is refused by name: an adapter half applied drafts worse
without a sign.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decoding.errors import WeightsError
from decoding.jsonfile import read_json_object

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADVICE = (
    f"give an adapter folder as PEFT writes it, with {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}, "
    "or load with adapter=None"
)
"""What to do where one of the two files is missing."""
# Keys of the configuration that change what the adapter computes, where they are not empty.
_REFUSED = (
    "modules_to_save",
    "use_dora",
    "fan_in_fan_out",
    "lora_bias",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "trainable_token_indices",
    "layer_replication",
    "target_parameters",
    "arrow_config",
)
# Ways to begin training that also change the weights underneath.
_REFUSED_STARTS = ("pissa", "olora", "corda", "loftq", "lora_ga")


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """Ranks and scales. A module is named by its path, as `encoder.layers.0.self_attn.o_proj`.

    `ranks` and `alphas` hold exceptions: expressions that fit the end of a module's name.
    """

    file: Path
    default_rank: int
    default_alpha: float
    ranks: dict[str, int]
    alphas: dict[str, float]
    by_root: bool  # the scale is alpha / sqrt(rank) rather than alpha / rank
    targets: tuple[str, ...]

    @classmethod
    def read(cls, file: Path) -> "AdapterConfig":
        """Raises `WeightsError` naming the key."""
        values = _Values(file)
        values.refuse_unsupported()
        targets = values.get("target_modules")
        return cls(
            file=file,
            default_rank=values.rank("r", values.get("r")),
            default_alpha=values.number("lora_alpha", values.get("lora_alpha")),
            ranks={k: values.rank("rank_pattern", v) for k, v in values.pattern("rank_pattern")},
            alphas={
                k: values.number("alpha_pattern", v) for k, v in values.pattern("alpha_pattern")
            },
            by_root=bool(values.get("use_rslora")),
            targets=tuple(map(str, targets)) if isinstance(targets, list) else (),
        )

    def rank(self, module: str) -> int:
        fitting = (rank for end, rank in self.ranks.items() if _fits(end, module))
        return next(fitting, self.default_rank)

    def scale(self, module: str) -> float:
        """What the product of a module's two halves is multiplied by (rsLoRA: 2312.03732)."""
        fitting = (alpha for end, alpha in self.alphas.items() if _fits(end, module))
        rank = self.rank(module)
        return next(fitting, self.default_alpha) / (math.sqrt(rank) if self.by_root else rank)

    def check_targets(self, modules: Sequence[str]) -> None:
        """Raises `WeightsError` if a target is none of the modules that have tensors."""
        for target in self.targets:
            if not any(f".{module}".endswith(f".{target}") for module in modules):
                raise WeightsError(
                    f"the adapter has no tensors for the target {target!r}; fetch it again",
                    self.file,
                    "target_modules",
                )


def _fits(expression: str, module: str) -> bool:
    return re.match(rf"(.*\.)?({expression})$", module) is not None


class _Values:
    """The object of the file, its values checked as they are taken."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._values = read_json_object(file, ADVICE)

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def number(self, key: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2**31:
            raise self._error(f"{key} must hold a positive number, not {value!r}", key)
        return float(value)

    def rank(self, key: str, value: object) -> int:
        number = self.number(key, value)
        if not number.is_integer():
            raise self._error(f"{key} must hold a whole number, not {value!r}", key)
        return int(number)

    def pattern(self, key: str) -> list[tuple[str, object]]:
        """The entries of an object whose keys are regular expressions."""
        pattern = self.get(key) or {}
        if not isinstance(pattern, dict):
            raise self._error(f"{key} must be an object", key)
        for expression in pattern:
            try:
                re.compile(expression)
            except re.error as error:
                raise self._error(f"{expression!r} is no regular expression", key) from error
        return list(pattern.items())

    def refuse_unsupported(self) -> None:
        for key in _REFUSED:
            if self.get(key):
                raise self._error(f"{key} = {self.get(key)!r} is not supported", key)
        if self.get("peft_type") != "LORA":
            kind = self.get("peft_type")
            raise self._error(f"peft_type {kind!r} is not supported, only 'LORA'", "peft_type")
        if self.get("bias") not in (None, "none"):
            bias = self.get("bias")
            raise self._error(f"bias = {bias!r} is not supported, only 'none'", "bias")
        start = self.get("init_lora_weights")
        if isinstance(start, str) and start.startswith(_REFUSED_STARTS):
            raise self._error(
                f"init_lora_weights = {start!r} also changes the weights underneath, "
                "which is not supported; convert the adapter to an ordinary one",
                "init_lora_weights",
            )

    def _error(self, reason: str, key: str) -> WeightsError:
        return WeightsError(f"{self._file.name}: {reason}", self._file, key)
