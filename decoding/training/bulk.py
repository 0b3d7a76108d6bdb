"""Free answers to many prompts at once, for a GPU: one batch after another, all of one width.

The engine chooses what each sequence does next, which costs Python for each; here all do the same
and a step is one recorded graph. There are no grammars. Shapes: B sequences at once, W positions
of each, beside those of `decoding.span`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from decoding.cache.storage import KVStorage
from decoding.network.transformer import Inputs, Transformer
from decoding.tokenizer import Tokenizer
from decoding.training.answers import NOTHING, Answer, Answered, Generation, missing
from decoding.training.tasks import Task, seed_of

_WIDTHS = 64  # batches are rounded up to a multiple, so that few graphs are recorded
_PREFILL_ROWS = 32_768
_LEAST = 1e-30  # of an exponential number; 0 would be infinite noise
_LOOK = 16  # steps between two looks at whether all are done


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt's token ids, and the temperature its answer is sampled at; 0 is greedy."""

    prompt: tuple[int, ...]
    temperature: float


class Bulk:
    """Decodes with one network. `ends` are the tokens that end an answer."""

    def __init__(
        self, network: Transformer, ends: Sequence[int], *, max_new_tokens: int, at_once: int
    ) -> None:
        self._network = network
        self._ends = torch.tensor(list(ends), device=network.device)
        self._max_new_tokens, self._at_once = max_new_tokens, at_once
        self._batches: dict[tuple[int, int], _Batch] = {}
        self._storage: KVStorage | None = None

    @torch.inference_mode()
    def decode(self, asked: Sequence[Asked]) -> Iterator[tuple[int, tuple[int, ...]]]:
        """The number of each prompt and its answer, an end token included; shorter prompts
        first. What is sampled depends on torch's random state."""
        order = sorted(range(len(asked)), key=lambda number: len(asked[number].prompt))
        if order:
            self._reserve(max(len(each.prompt) for each in asked), min(len(order), self._at_once))
        for first in range(0, len(order), self._at_once):
            numbers = order[first : first + self._at_once]
            group = [asked[number] for number in numbers]
            tokens = self._batch(group).run(group)
            yield from zip(numbers, (self._cut(each) for each in tokens), strict=True)

    def _width(self, longest: int) -> int:
        return -(-(longest + self._max_new_tokens) // _WIDTHS) * _WIDTHS

    def _reserve(self, longest: int, at_once: int) -> None:
        """All batches share one cache; graphs recorded over a smaller one go with it."""
        slots = self._width(longest) * at_once
        if self._storage is None or self._storage.num_slots < slots:
            self._batches.clear()
            self._storage = self._network.allocate_cache(slots)
            for rows_SGD in (*self._storage.keys_SGD, *self._storage.values_SGD):
                rows_SGD.zero_()  # what is hidden counts 0 times, which must be a number

    def _batch(self, group: Sequence[Asked]) -> "_Batch":
        width = self._width(max(len(each.prompt) for each in group))
        key = (len(group), width)
        if key not in self._batches:
            assert self._storage is not None
            self._batches[key] = _Batch(
                self._network, self._storage, *key, self._ends, self._max_new_tokens
            )
        return self._batches[key]

    def _cut(self, tokens: list[int]) -> tuple[int, ...]:
        ends = set(self._ends.tolist())
        for place, token in enumerate(tokens):
            if token in ends:
                return tuple(tokens[: place + 1])
        return tuple(tokens)


class _Batch:
    """B sequences in slots of their own: sequence b's position p is in slot b * W + p."""

    def __init__(
        self,
        network: Transformer,
        storage: KVStorage,
        num_sequences: int,
        width: int,
        ends_X: Tensor,
        max_new_tokens: int,
    ) -> None:
        device = network.device
        self._network, self._storage, self._width, self._ends_X = network, storage, width, ends_X
        self._first_B = torch.arange(num_sequences, device=device) * width
        self._position_B = torch.zeros(num_sequences, dtype=torch.int64, device=device)
        self._token_B = torch.zeros_like(self._position_B)
        self._is_done_B = torch.zeros(num_sequences, dtype=torch.bool, device=device)
        self._temperature_B1 = torch.zeros(num_sequences, 1, device=device)
        self._written_BN = torch.zeros(
            num_sequences, max_new_tokens, dtype=torch.int64, device=device
        )
        self._place_B1 = torch.zeros(num_sequences, 1, dtype=torch.int64, device=device)
        self._step = _recorded(self._advance) if device.type == "cuda" else self._advance

    def run(self, group: Sequence[Asked]) -> list[list[int]]:
        """The tokens of all, also behind an end."""
        device = self._network.device
        lengths = [len(each.prompt) for each in group]
        self._temperature_B1.copy_(torch.tensor([[each.temperature] for each in group]))
        self._position_B.copy_(torch.tensor(lengths))
        self._written_BN.zero_()
        self._place_B1.zero_()
        self._is_done_B.zero_()
        longest = max(lengths)
        padded = [each.prompt + (0,) * (longest - len(each.prompt)) for each in group]
        tokens_BW = torch.tensor(padded, device=device)
        rows = max(_PREFILL_ROWS // longest, 1)
        for first in range(0, len(group), rows):
            self._read(tokens_BW[first : first + rows], slice(first, first + rows))
        for number in range(1, self._written_BN.shape[1]):
            if number % _LOOK == 0 and bool(self._is_done_B.all()):
                break
            self._step()
        written: list[list[int]] = self._written_BN.tolist()
        return written

    def _read(self, tokens_BW: Tensor, sequences: slice) -> None:
        """Reads prompts and picks their first tokens. What pads them is overwritten later."""
        num_sequences, longest = tokens_BW.shape
        place_W = torch.arange(longest, device=tokens_BW.device)
        slots_BW = self._first_B[sequences, None] + place_W
        attend = partial(self._attend_prompts, sequences, longest)
        inputs = Inputs(
            tokens_BW.flatten(),
            place_W.repeat(num_sequences),
            slots_BW.flatten(),
            {None: attend},
            None,
        )
        hidden_TE = self._network.encode(inputs, self._storage)
        last_B = torch.arange(num_sequences, device=tokens_BW.device) * longest
        last_B += self._position_B[sequences] - 1
        logits_BV = self._network.read(hidden_TE, last_B)
        self._pick(logits_BV, sequences)

    def _advance(self) -> None:
        """Encodes the last tokens and picks the next ones."""
        place_W = torch.arange(self._width, device=self._position_B.device)
        is_hidden_BW = place_W > self._position_B[:, None]
        hidden_BW = torch.zeros_like(is_hidden_BW, dtype=self._network.dtype)
        hidden_BW.masked_fill_(is_hidden_BW, -torch.inf)
        attend = partial(self._attend_next, hidden_BW)
        slots_B = self._first_B + self._position_B
        inputs = Inputs(self._token_B, self._position_B, slots_B, {None: attend}, None)
        hidden_BE = self._network.encode(inputs, self._storage)
        everyone = slice(0, len(slots_B))
        logits_BV = self._network.read(hidden_BE, torch.arange(len(slots_B), device=slots_B.device))
        self._position_B += 1
        self._place_B1 += 1
        self._pick(logits_BV, everyone)

    def _pick(self, logits_BV: Tensor, sequences: slice) -> None:
        # Adding Gumbel noise and taking the best is sampling; see `decoding.sampling`.
        noise_BV = torch.empty_like(logits_BV).exponential_().clamp_(min=_LEAST).log_().neg_()
        picked_B = logits_BV.addcmul_(noise_BV, self._temperature_B1[sequences]).argmax(-1)
        self._token_B[sequences] = picked_B
        self._is_done_B[sequences] |= torch.isin(picked_B, self._ends_X)
        self._written_BN[sequences].scatter_(1, self._place_B1[sequences], picked_B[:, None])

    def _attend_prompts(
        self,
        sequences: slice,
        longest: int,
        queries_THD: Tensor,
        keys_SGD: Tensor,
        values_SGD: Tensor,
    ) -> Tensor:
        num_heads, head_dim = queries_THD.shape[1:]
        sharing = num_heads // keys_SGD.shape[1]
        keys, values = (
            self._by_sequence(each)[sequences, :, :longest].repeat_interleave(sharing, dim=1)
            for each in (keys_SGD, values_SGD)
        )
        queries_BHWD = queries_THD.view(-1, longest, num_heads, head_dim).transpose(1, 2)
        seen_BHWD = F.scaled_dot_product_attention(queries_BHWD, keys, values, is_causal=True)
        return seen_BHWD.transpose(1, 2).reshape(queries_THD.shape)

    def _attend_next(
        self, hidden_BW: Tensor, queries_BHD: Tensor, keys_SGD: Tensor, values_SGD: Tensor
    ) -> Tensor:
        num_sequences, num_heads, head_dim = queries_BHD.shape
        num_kv_heads = keys_SGD.shape[1]
        # The heads that share keys are rows of one product, so that these are read once.
        shared = queries_BHD.view(num_sequences, num_kv_heads, num_heads // num_kv_heads, head_dim)
        seen = F.scaled_dot_product_attention(
            shared,
            self._by_sequence(keys_SGD),
            self._by_sequence(values_SGD),
            attn_mask=hidden_BW[:, None, None].expand(-1, num_kv_heads, shared.shape[2], -1),
        )
        return seen.reshape(queries_BHD.shape)

    def _by_sequence(self, rows_SGD: Tensor) -> Tensor:
        """[B, G, W, D]"""
        used = rows_SGD[: len(self._first_B) * self._width]
        return used.view(len(self._first_B), self._width, *rows_SGD.shape[1:]).transpose(1, 2)


def _recorded(run: Callable[[], None]) -> Callable[[], None]:
    """The launches of `run`, which works on the same tensors each time, as one graph."""
    graph: list[torch.cuda.CUDAGraph] = []

    def replay() -> None:
        if graph:
            graph[0].replay()
            return
        # The first step is taken beside the recording, which takes none.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            run()
        torch.cuda.current_stream().wait_stream(side)
        new = torch.cuda.CUDAGraph()
        with torch.cuda.graph(new):
            run()
        graph.append(new)

    return replay


def bulk_answers(
    network: Transformer,
    tokenizer: Tokenizer,
    tasks: Sequence[Task],
    how: Generation,
    answered: Answered = NOTHING,
) -> Iterator[Answer]:
    """As `decoding.training.answers.generate`, for tasks without a grammar.

    Raises `ValueError` for a task with one.
    """
    if any(task.grammar is not None for task in tasks):
        raise ValueError("answers under a grammar are made by the engine, not in bulk")
    torch.manual_seed(seed_of(how.seed, sum(answered.values())))  # no noise of before again
    asked: list[Asked] = []
    of: list[Task] = []
    done = Counter(answered)
    for task in tasks:
        prompt = tuple(tokenizer.encode_chat(task.chat))
        if len(prompt) > how.max_prompt_tokens:
            continue
        for _ in range(missing(done, prompt, how.samples)):
            asked.append(Asked(prompt, how.temperatures[len(asked) % len(how.temperatures)]))
            of.append(task)
    ends = tokenizer.eos_token_ids
    bulk = Bulk(network, ends, max_new_tokens=how.max_new_tokens, at_once=how.at_once)
    for number, tokens in bulk.decode(asked):
        task, given = of[number], asked[number]
        yield Answer(
            given.prompt, tokens, "0" * len(tokens), task.source, task.kind, given.temperature
        )
