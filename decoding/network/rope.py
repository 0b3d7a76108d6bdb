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

    Raises `WeightsError` for a kind of scaling that is not supported.
    """
    parameters = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if not isinstance(parameters, Mapping):
        raise WeightsError("config.json: rope_parameters must be an object", key="rope_parameters")
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    theta = parameters.get("rope_theta") or config.get("rope_theta") or 10_000.0
    values = {"original_max_position_embeddings": config.get("max_position_embeddings")}
    values |= {name: value for name, value in parameters.items() if value is not None}
    if (values.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1.0) != 1.0:
        raise WeightsError(
            "config.json: partial rotary embedding is not supported", key="partial_rotary_factor"
        )
    readers = {"default": lambda _: None, "linear": _linear, "llama3": _read_llama3, "yarn": _yarn}
    if not isinstance(kind, str) or kind not in readers:
        raise WeightsError(
            f"config.json: rotary scaling {kind!r} is not supported; "
            f"supported are {', '.join(readers)}",
            key="rope_parameters",
        )
    try:
        return Rope(
            theta=float(theta),
            scaling=readers[kind](values),
            query_scaling=_query_scaling(values),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"config.json: rotary scaling {kind!r} lacks a usable value ({error})",
            key="rope_parameters",
        ) from error


def _query_scaling(values: Mapping[str, Any]) -> QueryScaling | None:
    beta = float(values.get("llama_4_scaling_beta", 0.0))
    if beta == 0.0:
        return None
    return QueryScaling(beta, int(values["original_max_position_embeddings"]))


def _original_positions(values: Mapping[str, Any]) -> int:
    return int(values["original_max_position_embeddings"])


def _linear(values: Mapping[str, Any]) -> LinearScaling:
    return LinearScaling(float(values["factor"]))


def _read_llama3(values: Mapping[str, Any]) -> Llama3Scaling:
    return Llama3Scaling(
        factor=float(values["factor"]),
        low_freq_factor=float(values["low_freq_factor"]),
        high_freq_factor=float(values["high_freq_factor"]),
        original_positions=_original_positions(values),
    )


def _yarn(values: Mapping[str, Any]) -> YarnScaling:
    factor = float(values["factor"])
    return YarnScaling(
        factor=factor,
        original_positions=_original_positions(values),
        beta_fast=float(values.get("beta_fast") or 32.0),
        beta_slow=float(values.get("beta_slow") or 1.0),
        truncate=bool(values.get("truncate", True)),
        amplitude=_yarn_amplitude(factor, values),
    )


def _yarn_amplitude(factor: float, values: Mapping[str, Any]) -> float:
    """1 where `mscale` and `mscale_all_dim` cancel; YaRN's 0.1 ln(factor) + 1 by default."""

    def magnitude(scale: float) -> float:
        return 1.0 if factor <= 1.0 else 0.1 * scale * math.log(factor) + 1.0

    if "attention_factor" in values:
        return float(values["attention_factor"])
    scale, scale_all = values.get("mscale"), values.get("mscale_all_dim")
    if scale and scale_all:
        return magnitude(float(scale)) / magnitude(float(scale_all))
    return magnitude(1.0)
