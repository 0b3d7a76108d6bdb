"""Whether what `benchmarks.gpu` measures is right on the device it runs on."""

import math
import random
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_network import Share, filled_cache, forward_of, random_transformer
from benchmarks.nemotron_shapes import NUM_SPECIAL, Size, tokenizer
from decoding import Autoregressive, DecodeMode, DiffusionDrafter, Engine, SelfSpeculation
from decoding.cache.storage import KVStorage
from decoding.network.base import Network
from decoding.network.captured import CapturedNetwork
from decoding.network.transformer import Transformer
from decoding.span import ForwardBatch
from decoding.tokenizer import Tokenizer

TOLERANCE = 1e-3
"""Largest difference in float32, as a share of the largest logit."""

STRIDE = 256


@dataclass(frozen=True, slots=True)
class Agreement:
    """Captured against plain forwards. `others_changed` counts numbers of slots that no forward
    had to write and that are not the same bits as before."""

    forwards: int
    largest_error: float
    same_picks: float
    adapter_effect: float
    others_changed: int

    @property
    def is_right(self) -> bool:
        return (
            self.largest_error < TOLERANCE
            and self.others_changed == 0
            and self.adapter_effect > 10 * TOLERANCE
        )


def random_shares(dice: random.Random, most_sequences: int, most_rows: int) -> list[Share]:
    """Sequences at any point of any step, in one forward."""
    shares = []
    for _ in range(dice.randint(1, most_sequences)):
        rows = dice.choice([1, dice.randint(1, most_rows)])
        is_draft = dice.random() < 0.4
        start = dice.randint(0, STRIDE - rows)
        shares.append(Share(rows, start, block=is_draft, adapter=is_draft))
    return shares


@torch.inference_mode()
def agreement(transformer: Transformer, forwards: int, most_rows: int) -> Agreement:
    """Random forwards over caches that hold the same numbers."""
    dice = random.Random(0)
    captured = CapturedNetwork(transformer)
    ours, theirs = (filled_cache(each, 8 * STRIDE) for each in (captured, transformer))
    error = effect = 0.0
    same = picked = changed = 0
    for seed in range(forwards):
        _copy(ours, theirs)
        shares = random_shares(dice, 8, most_rows)
        batch = forward_of(shares, STRIDE, transformer.vocab_size, seed)
        logits_RV, expected_RV = (
            network.forward(batch, storage)
            for network, storage in ((captured, ours), (transformer, theirs))
        )
        scale = float(expected_RV.abs().max())
        found = float((logits_RV - expected_RV).abs().max()) / scale
        error = max(error, found if math.isfinite(found) else math.inf)
        same += int((logits_RV.argmax(-1) == expected_RV.argmax(-1)).sum())
        picked += len(expected_RV)
        # Both wrote the rows' own slots, to other bits perhaps; all others must be equal.
        changed += _differing(ours, theirs, batch.on(transformer.device).slots_T)
        if any(each.adapter for each in shares):
            plain = forward_of(
                [replace(each, adapter=False) for each in shares],
                STRIDE,
                transformer.vocab_size,
                seed,
            )
            without_RV = captured.forward(plain, ours)
            effect = max(effect, float((without_RV - logits_RV).abs().max()) / scale)
    assert captured.num_plain == 0, "a forward was not captured; raise the buckets"
    return Agreement(forwards, error, same / picked, effect, changed)


@torch.inference_mode()
def error_beside(network: Network, transformer: Transformer, batch: ForwardBatch) -> float:
    """Largest difference of a forward's logits, as a share of the largest one."""
    num_slots = max(int(batch.slots_T.max()) + 1, 1)
    ours, theirs = (filled_cache(each, num_slots) for each in (network, transformer))
    _copy(ours, theirs)
    logits_RV = network.forward(batch, ours)
    expected_RV = transformer.forward(batch, theirs)
    return float((logits_RV - expected_RV).abs().max() / expected_RV.abs().max())


def _copy(ours: KVStorage, theirs: KVStorage) -> None:
    """The slots of pages; scratch slots stay what they are."""
    for mine, other in zip(_stores(ours), _stores(theirs), strict=True):
        mine.copy_(other)


def _differing(ours: KVStorage, theirs: KVStorage, written_T: Tensor) -> int:
    others_S = torch.ones(ours.num_slots, dtype=torch.bool, device=written_T.device)
    others_S[written_T] = False
    return sum(
        int((mine != other)[others_S].sum())
        for mine, other in zip(_stores(ours), _stores(theirs), strict=True)
    )


def _stores(storage: KVStorage) -> list[Tensor]:
    return [each[: storage.num_slots] for each in (*storage.keys_SGD, *storage.values_SGD)]


def agreements(size: Size, full: Transformer, forwards: int, most_rows: int) -> dict[str, Any]:
    """In float32 over two layers, where it decides, and over the whole network, for the record."""
    shallow = random_transformer(replace(size, layers=2), torch.float32, full.device)
    exact = agreement(shallow, forwards, most_rows)
    del shallow
    whole = agreement(full, forwards, most_rows)
    return {"is_right": exact.is_right, "float32": asdict(exact), "whole": asdict(whole)}


def same_texts(size: Size, network: Network, block: int, count: int) -> dict[str, Any]:
    """Greedy self-speculation against autoregressive decoding, through an engine.

    Counted are tokens that are equal up to the first that differs; behind it the texts have
    nothing to do with each other. Random weights draft nothing right, so that this says how
    often rounding decides, and what a step costs with everything around the network.
    """
    speculation = SelfSpeculation(block, DiffusionDrafter())
    words = Tokenizer(tokenizer(size.vocab))
    equal = total = 0
    seconds = {"autoregressive": 0.0, "self-speculation": 0.0}
    forwards = dict.fromkeys(seconds, 0)
    modes: tuple[DecodeMode, ...] = (Autoregressive(), speculation)
    with Engine(network, words, cache_tokens=4 * (64 + count + 2 * block)) as engine:
        for number in range(4):
            prompt = [NUM_SPECIAL + 64 * number + place for place in range(64)]
            texts = []
            for mode in modes:
                out = engine.generate(prompt, mode=mode, max_new_tokens=count)
                seconds[mode.name] += out.stats.seconds - out.stats.seconds_to_first_token
                forwards[mode.name] += out.stats.forwards - 1
                texts.append(out.token_ids)
            pairs = list(zip(*texts, strict=False))
            first = next((at for at, (a, b) in enumerate(pairs) if a != b), len(pairs))
            equal, total = equal + first, total + max(map(len, texts))
    return {
        "equal_tokens": equal / total,
        "tokens": total,
        "engine_ms_per_forward": {
            name: taken * 1e3 / max(1, forwards[name]) for name, taken in seconds.items()
        },
    }
