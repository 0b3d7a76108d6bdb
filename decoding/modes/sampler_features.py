"""What a trained sampler sees of a block: numbers about each of its positions.

Shapes: P positions of a block, C numbers per position, V vocabulary, D numbers per token vector.
Source of the list: Nemotron-Labs-Diffusion, arXiv 2607.05722, appendix A; `NEIGHBOURS` and
`CONTINUATION` are ours: guesses of one forward do not know each other, and these say which of them
go together.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from decoding.modes.reveal import Block
from decoding.ngrams import LEVELS, Continuation, NgramTable

_TOP = 5  # candidates that count
_LEAST_LOGPROB = -20.0  # a grammar may leave only what the network never expected


class Feature(Enum):
    """A group of numbers about one position. The value is its name in files.

    A decided position counts as one whose token is certain. Probabilities are the network's
    own, without mask and temperature. At other positions stands what is decided there, else the
    best candidate.
    """

    TOP_PROBABILITIES = "top_probabilities"  # of the five best candidates
    TOP_PROBABILITY = "top_probability"
    MARGIN = "margin"  # the best candidate's lead in probability
    TOP_MASS = "top_mass"  # of the three best candidates together
    TOP_ENTROPY = "top_entropy"  # -sum p ln p over the five best
    LOG_TOP_PROBABILITY = "log_top_probability"  # natural, at least -20
    IMPURITY = "impurity"  # 1 - sum p^2 over the vocabulary
    IS_MASKED = "is_masked"
    MASKED_FRACTION = "masked_fraction"  # of the block
    LOG_NUM_MASKED = "log_num_masked"  # ln(1 + masked positions of the block)
    PLACE = "place"  # 0 at the start of the block, 1 behind its end
    INPUT_VECTOR = "input_vector"  # of the token that stands there; zeros where masked
    FIRST_VECTOR = "first_vector"  # of the best candidate
    SECOND_VECTOR = "second_vector"
    THIRD_VECTOR = "third_vector"
    NEIGHBOURS = "neighbours"  # is the best candidate also left, right, elsewhere; the second right
    CONTINUATION = "continuation"  # how surely a token follows the two before; is it the best

    @property
    def is_vector(self) -> bool:
        return self in _TOKENS


@dataclass(frozen=True, slots=True)
class _Position:
    """One position, None for its token where masked. Candidates are the most probable first.

    `top` are the probabilities of the best, 0 where there are no more; `logprob` the best's.
    """

    token: int | None
    candidates: tuple[int, ...]
    top: tuple[float, ...]
    logprob: float
    purity: float
    place: float
    num_masked: int
    masked_fraction: float
    left: int | None
    right: int | None
    is_elsewhere: bool
    expected: Continuation | None

    def candidate(self, rank: int) -> int | None:
        return self.candidates[rank] if rank < len(self.candidates) else None


def _beside(at: _Position) -> Sequence[float]:
    first, second = at.candidate(0), at.candidate(1)
    return (
        float(first == at.left),
        float(first == at.right),
        float(at.is_elsewhere),
        float(second is not None and second == at.right),
    )


def _continued(at: _Position) -> Sequence[float]:
    if at.expected is None:
        return (0.0, 0.0)
    return (at.expected.level / LEVELS, float(at.expected.token == at.candidate(0)))


_NUMBERS: Mapping[Feature, Callable[[_Position], Sequence[float]]] = {
    Feature.TOP_PROBABILITIES: lambda at: at.top,
    Feature.TOP_PROBABILITY: lambda at: at.top[:1],
    Feature.MARGIN: lambda at: (at.top[0] - at.top[1],),
    Feature.TOP_MASS: lambda at: (sum(at.top[:3]),),
    Feature.TOP_ENTROPY: lambda at: (-sum(p * math.log(p) for p in at.top if p > 0.0),),
    Feature.LOG_TOP_PROBABILITY: lambda at: (max(at.logprob, _LEAST_LOGPROB),),
    Feature.IMPURITY: lambda at: (1.0 - at.purity,),
    Feature.IS_MASKED: lambda at: (float(at.token is None),),
    Feature.MASKED_FRACTION: lambda at: (at.masked_fraction,),
    Feature.LOG_NUM_MASKED: lambda at: (math.log1p(at.num_masked),),
    Feature.PLACE: lambda at: (at.place,),
    Feature.NEIGHBOURS: _beside,
    Feature.CONTINUATION: _continued,
}
_TOKENS: Mapping[Feature, Callable[[_Position], int | None]] = {
    Feature.INPUT_VECTOR: lambda at: at.token,
    Feature.FIRST_VECTOR: lambda at: at.candidate(0),
    Feature.SECOND_VECTOR: lambda at: at.candidate(1),
    Feature.THIRD_VECTOR: lambda at: at.candidate(2),
}
SCALARS = tuple(feature for feature in _NUMBERS if feature is not Feature.CONTINUATION)
"""All features that need neither token vectors nor a table of continuations."""


class BlockFeatures:
    """Turns blocks into numbers: the features asked for, in that order. Holds no other state.

    `vectors_VD` says what a token is like in a few numbers, for the features ending in
    `_VECTOR`; `ngrams` what the model mostly says, for `CONTINUATION`. Raises `ValueError` for no
    feature, one named twice, and for vectors or a table that are missing or that nothing asks for.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        vectors_VD: Tensor | None = None,
        ngrams: NgramTable | None = None,
    ) -> None:
        if not features or len(set(features)) != len(features):
            raise ValueError("give at least one feature, and each only once")
        if any(each.is_vector for each in features) != (vectors_VD is not None):
            raise ValueError(
                "token vectors must be given with features that use them, and only then"
            )
        if (Feature.CONTINUATION in features) != (ngrams is not None):
            raise ValueError(
                "continuations must be given with the feature that uses them, and only then"
            )
        if vectors_VD is not None and vectors_VD.ndim != 2:
            raise ValueError(f"token vectors must be a table [V, D], not {vectors_VD.ndim}-d")
        self.features = tuple(features)
        self.vectors_VD = vectors_VD
        self.ngrams = ngrams

    @property
    def width(self) -> int:
        """Numbers per position."""
        vector = 0 if self.vectors_VD is None else self.vectors_VD.shape[1]
        return sum(vector if each.is_vector else _WIDTHS[each] for each in self.features)

    def extract(self, block: Block) -> Tensor:
        """Float32 `features_PC` on the CPU. Raises `ValueError` for a token without a vector."""
        positions = _positions(block, self.ngrams)
        return torch.cat([self._column(each, positions) for each in self.features], dim=1)

    def _column(self, feature: Feature, positions: Sequence[_Position]) -> Tensor:
        if feature in _NUMBERS:
            return torch.tensor([list(_NUMBERS[feature](at)) for at in positions])
        assert self.vectors_VD is not None
        tokens = [_TOKENS[feature](at) for at in positions]
        known = [(row, token) for row, token in enumerate(tokens) if token is not None]
        beyond = next((token for _, token in known if token >= len(self.vectors_VD)), None)
        if beyond is not None:
            raise ValueError(
                f"the sampler knows {len(self.vectors_VD)} tokens and met token {beyond}: it was "
                "trained for another model"
            )
        column_PD = torch.zeros(len(tokens), self.vectors_VD.shape[1])
        column_PD[[row for row, _ in known]] = self.vectors_VD[[token for _, token in known]]
        return column_PD


def _positions(block: Block, ngrams: NgramTable | None) -> list[_Position]:
    ranked = [_ranked(block, place) for place in range(len(block.tokens))]
    stands = [pairs[0][1] for pairs in ranked]
    count = Counter(stands)
    text: list[int | None] = [None, None, *block.before, *stands, None]
    behind = len(text) - len(stands) - 1  # where the block begins in `text`
    made = []
    for place, pairs in enumerate(ranked):
        two, left, _, right = text[behind + place - 2 : behind + place + 2]
        expected = None if ngrams is None or left is None else ngrams.after(two, left)
        top = [math.exp(logprob) for logprob, _ in pairs[:_TOP]]
        ranking = block.rankings.get(place)
        made.append(
            _Position(
                token=block.tokens[place],
                candidates=tuple(candidate for _, candidate in pairs),
                top=(*top, *[0.0] * (_TOP - len(top))),
                logprob=pairs[0][0],
                purity=1.0 if ranking is None else ranking.purity,
                place=place / len(block.tokens),
                num_masked=len(block.rankings),
                masked_fraction=len(block.rankings) / len(block.tokens),
                left=left,
                right=right,
                is_elsewhere=count[stands[place]] > 1,
                expected=expected,
            )
        )
    return made


def _ranked(block: Block, place: int) -> list[tuple[float, int]]:
    """Log-probabilities and candidates, the most probable first."""
    token, ranking = block.tokens[place], block.rankings.get(place)
    if ranking is None:
        assert token is not None, "a masked position has no ranking"
        return [(0.0, token)]
    # Sampling orders candidates by its noise; the features are about the distribution.
    pairs = zip(ranking.logprobs, ranking.tokens, strict=True)
    return sorted(pairs, key=lambda pair: -pair[0])


_CERTAIN = _Position(0, (0,), (1.0,) * _TOP, 0.0, 1.0, 0.0, 0, 0.0, None, None, False, None)
_WIDTHS = {feature: len(numbers(_CERTAIN)) for feature, numbers in _NUMBERS.items()}
