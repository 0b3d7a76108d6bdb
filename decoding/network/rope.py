"""Rotary position embedding: where each row's heads are turned to, and by how much scaled.

Sources: Su et al. 2021 (arXiv 2104.09864); linear scaling, Chen et al. 2023 (arXiv 2306.15595);
YaRN, Peng et al. 2023 (arXiv 2309.00071) sections 3.2-3.4; Llama 3, arXiv 2407.21783.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from decoding.errors import WeightsError

_ORIGINAL = "original_max_position_embeddings"
_LARGEST = float(torch.finfo(torch.float32).max)  # angles are computed in float32


@dataclass(frozen=True, slots=True)
class LinearScaling:
    """All positions divided by `factor`."""

    factor: float


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """Wavelengths beyond the old context are stretched, short ones kept, a ramp in between."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_positions: int


@dataclass(frozen=True, slots=True)
class YarnScaling:
    """A ramp over the dimensions, and an `amplitude` on cosine and sine."""

    factor: float
    original_positions: int
    beta_fast: float
    beta_slow: float
    truncate: bool
    amplitude: float


@dataclass(frozen=True, slots=True)
class QueryScaling:
    """Queries at position p grow by 1 + beta * ln(1 + floor(p / original_positions))."""

    beta: float
    original_positions: int


@dataclass(frozen=True, slots=True)
class Rope:
    theta: float = 10_000.0
    scaling: LinearScaling | Llama3Scaling | YarnScaling | None = None
    query_scaling: QueryScaling | None = None


@dataclass(frozen=True, slots=True)
class Rotation:
    """How to turn the rows of one forward; axis 1 broadcasts over heads.

    Halves (a, b) of a head turn to (a cos - b sin, b cos + a sin). `sin_T1D` holds -sin in
    its first half, so that the turn is one roll and one fused multiply-add.
    `query_scale_T11` is None where no row is scaled.
    """

    cos_T1D: Tensor
    sin_T1D: Tensor
    query_scale_T11: Tensor | None

    def turn(self, heads_TXD: Tensor) -> Tensor:
        swapped_TXD = heads_TXD.roll(heads_TXD.shape[-1] // 2, dims=-1)
        return torch.addcmul(heads_TXD * self.cos_T1D, swapped_TXD, self.sin_T1D)


class RotaryEmbedding:
    """Angles for any positions. Immutable; angles are computed in float32."""

    def __init__(self, rope: Rope, head_dim: int, device: torch.device) -> None:
        frequencies_F = inverse_frequencies(rope, head_dim).to(device)
        self._frequencies_D = torch.cat((frequencies_F, frequencies_F))
        sign_D = torch.ones(head_dim, device=device)
        sign_D[: head_dim // 2] = -1.0
        amplitude = rope.scaling.amplitude if isinstance(rope.scaling, YarnScaling) else 1.0
        self._cos_scale = amplitude
        self._sin_scale_D = sign_D * amplitude
        self._query_scaling = rope.query_scaling

    def at(self, positions_T: Tensor, dtype: torch.dtype) -> Rotation:
        angles_T1D = positions_T.to(torch.float32)[:, None, None] * self._frequencies_D
        cos_T1D = angles_T1D.cos() * self._cos_scale
        sin_T1D = angles_T1D.sin() * self._sin_scale_D
        return Rotation(cos_T1D.to(dtype), sin_T1D.to(dtype), self._query_scale(positions_T, dtype))

    def _query_scale(self, positions_T: Tensor, dtype: torch.dtype) -> Tensor | None:
        if self._query_scaling is None:
            return None
        periods_T = positions_T.div(self._query_scaling.original_positions, rounding_mode="floor")
        scale_T = 1.0 + self._query_scaling.beta * torch.log1p(periods_T.to(torch.float32))
        return scale_T.to(dtype)[:, None, None]


def inverse_frequencies(rope: Rope, head_dim: int) -> Tensor:
    """Radians per position for each of the head_dim / 2 pairs, float32 on the CPU."""
    exponents_F = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    frequencies_F = 1.0 / (rope.theta**exponents_F)
    match rope.scaling:
        case LinearScaling(factor):
            return frequencies_F / factor
        case Llama3Scaling() as scaling:
            return _llama3(frequencies_F, scaling)
        case YarnScaling() as scaling:
            keep_F = 1.0 - _yarn_ramp(rope.theta, head_dim, scaling)
            return frequencies_F * keep_F + frequencies_F / scaling.factor * (1.0 - keep_F)
        case None:
            return frequencies_F


def _llama3(frequencies_F: Tensor, scaling: Llama3Scaling) -> Tensor:
    turns_F = scaling.original_positions * frequencies_F / (2 * math.pi)
    span = scaling.high_freq_factor - scaling.low_freq_factor
    keep_F = ((turns_F - scaling.low_freq_factor) / span).clamp(0.0, 1.0)
    return frequencies_F * keep_F + frequencies_F / scaling.factor * (1.0 - keep_F)


def _yarn_ramp(theta: float, head_dim: int, scaling: YarnScaling) -> Tensor:
    """0 for the pairs that keep their frequency, 1 for those divided by the factor."""

    def pair_turning(times: float) -> float:
        """The pair that turns so many times within the original context."""
        wavelength = scaling.original_positions / (2 * math.pi * times)
        return head_dim * math.log(wavelength) / (2 * math.log(theta))

    low, high = pair_turning(scaling.beta_fast), pair_turning(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    if low == high:
        high += 0.001
    pairs_F = torch.arange(head_dim // 2, dtype=torch.float32)
    return ((pairs_F - low) / (high - low)).clamp(0.0, 1.0)


def read_rope(config: Mapping[str, Any]) -> Rope:
    """From `rope_parameters`, or the older `rope_scaling` beside `rope_theta`.

    Raises `WeightsError` for a kind of scaling that is not supported, and for a number that is
    missing or with which no angle can be computed.
    """
    place = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    parameters = config.get(place) or {}
    if not isinstance(parameters, Mapping):
        raise WeightsError(f"config.json: {place} must be an object", key=place)
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    outer = {
        _ORIGINAL: config.get("max_position_embeddings"),
        "rope_theta": config.get("rope_theta"),
        "partial_rotary_factor": config.get("partial_rotary_factor"),
    }
    given = {name: value for name, value in parameters.items() if value is not None}
    if config.get(_ORIGINAL) is not None:  # which transformers prefers
        given[_ORIGINAL] = config[_ORIGINAL]
    values = _Values(outer | given)
    if values.number("partial_rotary_factor", 1.0) != 1.0:
        raise WeightsError(
            "config.json: partial rotary embedding is not supported", key="partial_rotary_factor"
        )
    readers = {"default": lambda _: None, "linear": _linear, "llama3": _read_llama3, "yarn": _yarn}
    if not isinstance(kind, str) or kind not in readers:
        raise WeightsError(
            f"config.json: rotary scaling {kind!r} is not supported; "
            f"supported are {', '.join(readers)}",
            key=place,
        )
    return Rope(
        theta=values.number("rope_theta", 10_000.0),
        scaling=readers[kind](values),
        query_scaling=_query_scaling(values),
    )


class _Values:
    """The rotary values of one config.json, checked as they are taken; null counts as absent."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number above 0. Without a default it must be there."""
        value: Any = self._values.get(name)
        if value is None and default is not None:
            return default
        is_number = type(value) in (int, float)
        if not is_number or not 0 < value <= _LARGEST:
            raise _unusable(name, "must be a finite number above 0", value)
        return float(value)

    def scale(self, name: str) -> float:
        """A finite number above 0, or 0 for none: published configs spell it either way."""
        value = self._values.get(name)
        is_zero = type(value) in (int, float) and value == 0
        return 0.0 if value is None or is_zero else self.number(name)

    def count(self, name: str) -> int:
        number = self.number(name)
        if not number.is_integer():
            raise _unusable(name, "must be a whole number", number)
        return int(number)

    def flag(self, name: str, default: bool) -> bool:
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise _unusable(name, "must be true or false", value)
        return value


def _unusable(name: str, rule: str, value: object) -> WeightsError:
    given = "and is missing" if value is None else f"not {value!r}"
    return WeightsError(f"config.json: the rotary value {name} {rule}, {given}", key=name)


def _query_scaling(values: _Values) -> QueryScaling | None:
    beta = values.scale("llama_4_scaling_beta")
    return QueryScaling(beta, values.count(_ORIGINAL)) if beta else None


def _linear(values: _Values) -> LinearScaling:
    return LinearScaling(values.number("factor"))


def _read_llama3(values: _Values) -> Llama3Scaling:
    low, high = values.number("low_freq_factor"), values.number("high_freq_factor")
    if low >= high:
        raise _unusable("high_freq_factor", f"must be above low_freq_factor, {low:g}", high)
    return Llama3Scaling(
        factor=values.number("factor"),
        low_freq_factor=low,
        high_freq_factor=high,
        original_positions=values.count(_ORIGINAL),
    )


def _yarn(values: _Values) -> YarnScaling:
    theta = values.number("rope_theta", 10_000.0)
    if theta <= 1.0:
        raise _unusable("rope_theta", "must be above 1 for yarn", theta)
    fast, slow = values.number("beta_fast", 32.0), values.number("beta_slow", 1.0)
    if fast <= slow:
        raise _unusable("beta_fast", f"must be above beta_slow, {slow:g}", fast)
    factor = values.number("factor")
    return YarnScaling(
        factor=factor,
        original_positions=values.count(_ORIGINAL),
        beta_fast=fast,
        beta_slow=slow,
        truncate=values.flag("truncate", True),
        amplitude=_yarn_amplitude(factor, values),
    )


def _yarn_amplitude(factor: float, values: _Values) -> float:
    """1 where `mscale` and `mscale_all_dim` cancel; YaRN's 0.1 ln(factor) + 1 by default."""

    def magnitude(scale: float) -> float:
        return 1.0 if factor <= 1.0 else 0.1 * scale * math.log(factor) + 1.0

    scale, scale_all = values.scale("mscale"), values.scale("mscale_all_dim")
    if values.has("attention_factor"):
        return values.number("attention_factor")
    if scale and scale_all:
        return magnitude(scale) / magnitude(scale_all)
    return magnitude(1.0)
