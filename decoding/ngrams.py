"""What a model mostly says after the same one or two tokens."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from decoding.errors import WeightsError

NGRAMS = "ngrams.safetensors"
"""The file's name in the folder of a checkpoint."""

_ANY = 0
"""Stands for the token before the last where only the last counts; tokens are kept from 1 on."""
_LEVELS = (0.3, 0.5, 0.7, 0.85)
"""Shares that part the levels."""
LEVELS = len(_LEVELS) + 1
"""How many levels of sureness there are."""
_FIELDS = ("last_L", "count_L", "before_N", "next_N", "level_N")

_Context = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Continuation:
    """The token that is expected there, and how surely: `level` 1 (in less than 30 %) to 5 (in 85 %
    and more)."""

    token: int
    level: int

    @classmethod
    def of(cls, token: int, share: float) -> "Continuation":
        """That is expected with a probability of `share`."""
        return cls(token, 1 + sum(share >= bound for bound in _LEVELS))


class NgramTable:
    """The most frequent next token by the last two tokens, else by the last one.

    Made once, from texts that the model wrote (`learn`); looked up without a forward.
    """

    def __init__(self, entries: Mapping[_Context, Continuation]) -> None:
        self._entries = dict(entries)

    def __len__(self) -> int:
        return len(self._entries)

    @cached_property
    def num_tokens(self) -> int:
        """One more than the greatest token in the table."""
        known = ((before - 1, last, to.token) for (before, last), to in self._entries.items())
        return 1 + max((max(each) for each in known), default=-1)

    def after(self, before: int | None, last: int) -> Continuation | None:
        """What follows `before` and `last`; None where neither pair nor last token are known."""
        entries = self._entries
        found = None if before is None else entries.get((before + 1, last))
        return found or entries.get((_ANY, last))

    def walk(self, tokens: Sequence[int]) -> Iterator[Continuation]:
        """What follows the tokens, one after the other, each behind those before it."""
        before, last = tokens[-2] if len(tokens) > 1 else None, tokens[-1]
        while (found := self.after(before, last)) is not None:
            yield found
            before, last = last, found.token

    @classmethod
    def learn(cls, texts: Iterable[tuple[Sequence[int], int]], most: int) -> "NgramTable":
        """`texts` are tokens and the position of the first that the model wrote. Keeps at most
        `most` pairs, those that were most often right where the last token alone was not.

        Raises `ValueError` where `most` is negative.
        """
        if most < 0:
            raise ValueError(f"a table keeps at least 0 pairs, not {most}")
        singles: dict[_Context, Counter[int]] = defaultdict(Counter)
        pairs: dict[_Context, Counter[int]] = defaultdict(Counter)
        for tokens, first in texts:
            for at in range(max(first, 1), len(tokens)):
                singles[_ANY, tokens[at - 1]][tokens[at]] += 1
                if at > 1:
                    pairs[tokens[at - 2] + 1, tokens[at - 1]][tokens[at]] += 1
        entries = {context: _best(counts) for context, counts in singles.items() if _known(counts)}
        gains = {
            context: _gain(_best(counts), counts, entries.get((_ANY, context[1])))
            for context, counts in pairs.items()
            if _known(counts)
        }
        kept = sorted(gains, key=lambda context: (gains[context], context), reverse=True)[:most]
        return cls(entries | {context: _best(pairs[context]) for context in kept})

    def save(self, file: Path) -> None:
        """Five arrays: each last token and how many entries it has, and of the entries the token
        before (from 1; 0 for any), the next one and the level."""
        ordered = sorted(self._entries.items(), key=lambda entry: (entry[0][1], entry[0][0]))
        runs = [
            (last, len(list(run))) for last, run in groupby(context[1] for context, _ in ordered)
        ]
        columns = {
            "last_L": [last for last, _ in runs],
            "count_L": [count for _, count in runs],
            "before_N": [context[0] for context, _ in ordered],
            "next_N": [found.token for _, found in ordered],
            "level_N": [found.level for _, found in ordered],
        }
        save_file({name: _narrow(values) for name, values in columns.items()}, file)

    @classmethod
    def load(cls, file: Path, vocab_size: int) -> "NgramTable":
        """Raises `WeightsError` for a file that `save` did not write, and for a token that is not
        one of `vocab_size`."""
        try:
            arrays = load_file(file)
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"no table of continuations: {error}", file) from error
        for name in _FIELDS:
            if name not in arrays or arrays[name].ndim != 1:
                raise WeightsError(f"must hold the list {name}", file, name)
        last_L, count_L, before_N, next_N, level_N = (
            arrays[name].astype(np.int64) for name in _FIELDS
        )
        if len(last_L) != len(count_L) or not (
            count_L.sum() == len(before_N) == len(next_N) == len(level_N)
        ):
            raise WeightsError("the lists of the table differ in length", file)
        for name, values, end in (
            ("last_L", last_L, vocab_size),
            ("count_L", count_L, len(next_N) + 1),
            ("before_N", before_N, vocab_size + 1),
            ("next_N", next_N, vocab_size),
            ("level_N", level_N, LEVELS + 1),
        ):
            if len(values) and not 0 <= values.min() <= values.max() < end:
                raise WeightsError(f"a number of {name} is not below {end}", file, name)
        contexts = zip(before_N.tolist(), np.repeat(last_L, count_L).tolist(), strict=True)
        found = map(Continuation, next_N.tolist(), level_N.tolist())
        return cls(dict(zip(contexts, found, strict=True)))


def _known(counts: Counter[int]) -> bool:
    """Whether the most frequent token was seen more than once."""
    return counts.most_common(1)[0][1] > 1


def _best(counts: Counter[int]) -> Continuation:
    token, right = min(counts.items(), key=lambda item: (-item[1], item[0]))
    # One more that was wrong: few say little.
    return Continuation.of(token, right / (counts.total() + 1))


def _gain(best: Continuation, counts: Counter[int], single: Continuation | None) -> tuple[int, int]:
    """Guesses that the pair gets right and the last token alone does not; then its own."""
    right = counts[best.token]
    return right - (0 if single is None else counts[single.token]), right


def _narrow(values: list[int]) -> NDArray[np.unsignedinteger]:
    top = max(values, default=0)
    return np.array(values, dtype=np.min_scalar_type(top))
