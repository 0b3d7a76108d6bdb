"""All steps of a sequence, one after the other, and what came of each."""

from decoding.modes import BlockDiffusion, DecodeMode, SelfSpeculation, Step, head_of, ngrams_of
from decoding.modes.drafters import HeadDrafter
from decoding.pace import Guesser
from decoding.record import Origin, Region
from decoding.sequence import Sequence
from decoding.span import Purpose

_NOT_PICKED = frozenset({Origin.FORCED, Origin.CLOSING})
_ASKED_EVERY = 8
"""Positions: there the head's next guess is judged though it is not sent. It costs a little."""


def steps(sequence: Sequence) -> Step:
    """Decodes a sequence to its end; its account learns what each step brought."""
    try:
        sequence.step_mode = sequence.mode.select(sequence)
        sequence.commit_forced()
        while not sequence.finished:
            sequence.step_mode = sequence.mode.select(sequence)
            yield from _step(sequence)
    finally:
        sequence.outlook.leave()


def _step(sequence: Sequence) -> Step:
    """One step by `step_mode`, with what it chose from, cost and brought written down."""
    outlook, mode, region = sequence.outlook, sequence.step_mode, sequence.region
    first, first_forward, drafted = sequence.length, sequence.num_forwards, sequence.num_drafted
    reads_prompt = sequence.num_cached < sequence.num_prompt
    label = _label(mode)
    outlook.begins(region, label)
    guess = None if _drafter_is_head(mode) else _unsent_guess(sequence)
    if mode is not sequence.mode:
        match = sequence.copies.match_at(first)
        matched = 0 if match is None else match.length
        outlook.chose(region, matched, mode, denoised=_denoises(mode))
        sequence.count_decision(f"{region.value}: {label}")
    yield from _followed(sequence, mode.step(sequence))
    forwards = sequence.forwards(first_forward)
    _judge_copies(sequence, region, first)
    _judge_ngrams(sequence, region, first)
    checked = sequence.num_drafted - drafted
    if _is_chain(mode) and any(each.purpose is Purpose.DRAFT for each in forwards):
        _judge_places(sequence, Guesser.DENOISE, region, first, checked)
    elif _is_chain(mode) and _drafter_is_head(mode):
        _judge_places(sequence, Guesser.HEAD, region, first, checked)
    elif guess is not None and sequence.records(first)[0].origin not in _NOT_PICKED:
        outlook.guessed(Guesser.HEAD, region, 1, guess == sequence.tokens[first])
    if not reads_prompt:
        tokens = sum(each.origin not in _NOT_PICKED for each in sequence.records(first))
        outlook.earned(region, label, tokens, len(forwards), sum(each.rows for each in forwards))


def _followed(sequence: Sequence, step: Step) -> Step:
    """The same step; the account knows the rows that wait."""
    try:
        span = next(step)
        while True:
            prompt = max(sequence.num_prompt - span.start, 0)
            sequence.outlook.waits_for(max(span.num_rows - prompt, 1))
            span = step.send((yield span))
    except StopIteration:
        return
    finally:
        step.close()


def _judge_copies(sequence: Sequence, region: Region, first: int) -> None:
    """Compares what was committed with what a copy would have said, whether it was sent or not."""
    match = sequence.copies.match_at(first)
    if match is None:
        return
    for offset, record in enumerate(sequence.records(first)):
        right = sequence.tokens[match.place + offset] == sequence.tokens[first + offset]
        if record.origin not in _NOT_PICKED:
            sequence.outlook.guessed(Guesser.COPY, region, match.length + offset, right)
        if not right:
            return


def _judge_ngrams(sequence: Sequence, region: Region, first: int) -> None:
    """As for copies, of the table's guesses."""
    table, tokens = ngrams_of(sequence.mode), sequence.tokens
    if table is None:
        return
    for at, record in enumerate(sequence.records(first), first):
        if record.origin in _NOT_PICKED:
            continue
        guess = table.after(tokens[at - 2] if at > 1 else None, tokens[at - 1])
        if guess is not None:
            right = guess.token == tokens[at]
            sequence.outlook.guessed(Guesser.NGRAM, region, guess.level, right)


def _judge_places(
    sequence: Sequence, guesser: Guesser, region: Region, first: int, num_checked: int
) -> None:
    accepted = sum(each.origin is Origin.ACCEPTED for each in sequence.records(first))
    for place in range(1, min(accepted + 1, num_checked) + 1):
        sequence.outlook.guessed(guesser, region, place, place <= accepted)


def _unsent_guess(sequence: Sequence) -> int | None:
    """What the head would have guessed, now and then; None otherwise."""
    head, hidden_E = head_of(sequence.mode), sequence.hidden_E
    if head is None or hidden_E is None or sequence.length % _ASKED_EVERY:
        return None
    return head.guess(hidden_E, sequence.tokens[-1], 1)[0]


def _drafter_is_head(mode: DecodeMode) -> bool:
    return isinstance(mode, SelfSpeculation) and isinstance(mode.drafter, HeadDrafter)


def _is_chain(mode: DecodeMode) -> bool:
    """Whether what was accepted says how far a draft without branches gets."""
    return not (isinstance(mode, SelfSpeculation) and mode.side_guesses)


def _denoises(mode: DecodeMode) -> bool:
    return isinstance(mode, SelfSpeculation) and mode.denoises


def _label(mode: DecodeMode) -> str:
    if isinstance(mode, SelfSpeculation | BlockDiffusion):
        return f"{mode.name} {mode.block_length}"
    return mode.name
