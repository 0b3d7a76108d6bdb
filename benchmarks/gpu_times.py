"""How long the steps of `benchmarks.gpu` take."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from benchmarks.gpu_network import (
    AR,
    DRAFT,
    KINDS,
    VERIFY,
    filled_cache,
    forward_of,
    run_step,
    share,
)
from decoding.network.base import Network
from decoding.network.captured import CapturedNetwork
from decoding.network.padded_attention import VARIANTS
from decoding.network.transformer import Transformer

WARM = 3


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured. `context` is the number of tokens at the end of each forward."""

    concurrency: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    block: int = 32
    context: int = 512
    long_context: int = 4096
    repeats: int = 20
    acceptance: tuple[int, ...] = (3, 6, 9)
    copy_bytes: int = 2**30
    compiler: str = "inductor"


Times = dict[str, float]
"""Milliseconds by kind of step."""


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def milliseconds(run: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median time of a call, the device's work included."""
    taken = []
    for _ in range(WARM + repeats):
        synchronise(device)
        started = time.perf_counter()
        run()
        synchronise(device)
        taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(taken[WARM:])


def copy_bandwidth(device: torch.device, settings: Settings) -> float:
    """Bytes per second read and written by a copy within the device's memory."""
    source = torch.empty(settings.copy_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    taken = milliseconds(lambda: target.copy_(source), device, settings.repeats)
    return 2 * settings.copy_bytes / (taken / 1e3)


def step_times(
    network: Network,
    device: torch.device,
    settings: Settings,
    concurrency: int,
    context: int,
    kinds: Sequence[str] = KINDS,
) -> Times:
    """A step of each kind over `concurrency` sequences, from the forward to picked tokens."""
    storage = filled_cache(network, concurrency * context)
    times = {}
    for kind in kinds:
        shares = [share(kind, settings.block, context)] * concurrency
        batch = forward_of(shares, context, network.vocab_size)
        times[kind] = milliseconds(
            lambda: run_step(network, batch, storage),  # noqa: B023 - runs at once
            device,
            settings.repeats,
        )
    return times


def throughput(times: Mapping[int, Times], acceptance: Sequence[int]) -> dict[str, list[float]]:
    """Tokens per second of all sequences together, at each concurrency."""
    rows = {AR: [count / each[AR] * 1e3 for count, each in times.items()]}
    for tokens in acceptance:
        rows[f"{tokens} per cycle"] = [
            count * tokens / cycle(each) * 1e3 for count, each in times.items()
        ]
    return rows


def cycle(times: Times) -> float:
    return times[DRAFT] + times[VERIFY]


def crossover(times: Mapping[int, Times], tokens: int) -> float | None:
    """The concurrency from which autoregressive decoding yields more.

    0 where it does from the start, None where it does not at the highest one measured; between
    two measured ones it is interpolated over the logarithm of the concurrency.
    """
    before: tuple[float, float] | None = None
    for count, each in times.items():
        # Positive while a cycle yields more than the steps that take as long.
        gain, at = math.log(tokens * each[AR] / cycle(each)), math.log2(count)
        if gain < 0:
            if before is None:
                return 0.0
            last_at, last_gain = before
            return float(2 ** (last_at + (at - last_at) * last_gain / (last_gain - gain)))
        before = at, gain
    return None


def compiled(transformer: Transformer, settings: Settings) -> CapturedNetwork:
    """With layers that torch has compiled, each shape when it is first met."""
    torch.compiler.reset()  # torch keeps few shapes, and those of other networks count
    layer = torch.compile(transformer.layer, backend=settings.compiler)
    return CapturedNetwork(transformer, run_layer=layer)


def by_attention(
    transformer: Transformer, settings: Settings, concurrency: int
) -> dict[str, dict[str, Times]]:
    """Every variant of padded attention, over short and long contexts."""
    return {
        name: {
            str(context): step_times(
                CapturedNetwork(transformer, attention=plan),
                transformer.device,
                settings,
                concurrency,
                context,
            )
            for context in (settings.context, settings.long_context)
        }
        for name, plan in VARIANTS.items()
    }
