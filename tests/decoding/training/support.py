"""A tiny network with an adapter under training, and answers for it."""

from collections import defaultdict
from pathlib import Path
from random import Random

import pytest
import torch

from decoding import Engine, Request
from decoding.network.transformer import Transformer
from decoding.training.answers import Answer
from decoding.training.draft_adapter import DraftAdapter
from decoding.training.tasks import Kind
from decoding.weights.checkpoint import read_network
from tests.decoding.checkpoints import save_checkpoint

CPU = torch.device("cpu")


def tiny_network(directory: Path) -> Transformer:
    if not (directory / "config.json").exists():
        save_checkpoint("llama", directory)
    return read_network(directory, dtype=torch.float32, device=CPU, name="tiny")


def random_adapter(network: Transformer, scale: float = 0.3, seed: int = 0) -> DraftAdapter:
    """An adapter that changes something, as after training."""
    generator = torch.Generator().manual_seed(seed)
    mask_E = torch.randn(network.config.hidden_size, generator=generator) * 0.1
    torch.manual_seed(seed)
    adapter = DraftAdapter(network.config, 4, 8.0, mask_E)
    with torch.no_grad():
        for up in adapter.up.values():
            up.copy_(torch.randn(up.shape, generator=generator) * scale)
    return adapter


def with_adapter(network: Transformer, adapter: DraftAdapter) -> Transformer:
    return Transformer(
        network.config,
        network.parameters,
        network.name,
        adapter.adapter(network.dtype),
        network.numerics,
    )


def random_answer(seed: float, prompt: int = 7, length: int = 20, forced: float = 0.0) -> Answer:
    random = Random(seed)
    tokens = [random.randrange(256) for _ in range(prompt + length)]
    marks = "".join("01"[random.random() < forced] for _ in range(length))
    return Answer(tuple(tokens[:prompt]), tuple(tokens[prompt:]), marks, "random", Kind.PROSE)


def watched_seeds(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> dict[tuple[int, ...], list[int | None]]:
    """The seeds of the requests that the engine is given from now on, by their prompts."""
    seeds: dict[tuple[int, ...], list[int | None]] = defaultdict(list)
    add = engine.add

    def watched(request: Request) -> int:
        assert not isinstance(request.prompt, str)
        seeds[tuple(request.prompt)].append(request.sampling.seed)  # type: ignore[arg-type]
        return add(request)

    monkeypatch.setattr(engine, "add", watched)
    return seeds
