"""Which blocks of an answer a training step looks at.

A block stands as in decoding: committed tokens that are not encoded yet (the tail), then
masks. Some blocks show a part of what is behind the tail, as denoising does step by step.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from decoding.training.answers import Answer


@dataclass(frozen=True, slots=True)
class Block:
    """Positions [`first`, `end`) of a text; those in `masked` are to be guessed.

    `end` may lie behind the text: drafts do not know where an answer ends. `written` are tokens
    that stand at positions of the block in the place of the text's.
    """

    first: int
    end: int
    masked: frozenset[int]
    written: Mapping[int, int] = field(default_factory=dict, hash=False)

    @property
    def num_rows(self) -> int:
        return self.end - self.first


@dataclass(frozen=True, slots=True)
class BlockChoice:
    """How blocks are drawn.

    `lengths` are block lengths, drawn evenly: of each, one position less is guessed.
    `rows_per_token` is how many rows the blocks of an answer have together, for each of its
    tokens. `denoised` is the share of the blocks that show some of their positions already.
    """

    lengths: tuple[int, ...] = (4, 8, 8, 8, 16)
    rows_per_token: float = 2.0
    denoised: float = 0.25

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) < 2:
            raise ValueError(f"lengths must be some, of at least 2, not {self.lengths}")
        if self.rows_per_token <= 0.0 or not 0.0 <= self.denoised <= 1.0:
            raise ValueError("rows_per_token must be above 0, and denoised a share")


def starts(answer: Answer) -> list[int]:
    """The positions that a draft may follow: those of the answer whose next token it chose."""
    offset = len(answer.prompt)
    return [
        offset + place for place in range(len(answer.tokens) - 1) if answer.forced[place + 1] == "0"
    ]


def draft_block(answer: Answer, start: int, length: int) -> Block:
    """The block of a draft behind `start`: the tail, as long as verification leaves it there,
    and `length` - 1 masks."""
    offset, first = len(answer.prompt), start
    while first > offset and answer.forced[first - offset] == "1" and start - first + 1 < length:
        first -= 1
    return Block(first, start + length, frozenset(range(start + 1, start + length)))


def draw_blocks(answer: Answer, choice: BlockChoice, random: Random) -> list[Block]:
    """Blocks at random places of an answer; none where it has nothing to guess."""
    places = starts(answer)
    random.shuffle(places)
    blocks: list[Block] = []
    rows = choice.rows_per_token * len(answer.tokens)
    for start in places:
        if rows <= 0.0:
            break
        block = draft_block(answer, start, random.choice(choice.lengths))
        if random.random() < choice.denoised:
            block = _shown(block, random)
        blocks.append(block)
        rows -= block.num_rows
    return blocks


def _shown(block: Block, random: Random) -> Block:
    """The block with each position shown with one probability, drawn evenly; never all."""
    share = random.random()
    masked = frozenset(position for position in block.masked if random.random() < share)
    return Block(block.first, block.end, masked or frozenset([min(block.masked)]))
