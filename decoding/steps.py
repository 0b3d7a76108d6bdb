"""All steps of a sequence, one after the other, and what came of each."""

from time import perf_counter

from decoding.modes import (
    Autoregressive,
    BlockDiffusion,
    DecodeMode,
    Fastest,
    SelfSpeculation,
    Step,
    asks_head,
    foreseen,
    head_of,
    mode_in,
    ngrams_of,
)
from decoding.modes.drafters import NgramDrafter
from decoding.ngrams import Continuation
from decoding.pace import Guesser
from decoding.record import Origin, Region
from decoding.sequence import Sequence
from decoding.span import Purpose

_NOT_PICKED = frozenset({Origin.FORCED, Origin.CLOSING})


def steps(sequence: Sequence) -> Step:
    """Decodes a sequence to its end; its account learns what each step brought."""
    try:
        sequence.step_mode = _mode_before_steps(sequence)
        sequence.commit_forced()
        while not sequence.finished:
            sequence.step_mode = sequence.mode.select(sequence)
            yield from _step(sequence)
    finally:
        sequence.outlook.leave()


def _mode_before_steps(sequence: Sequence) -> DecodeMode:
    """What forced tokens at the beginning are booked under. Nothing is weighed for them: the pace
    would be told of a choice that no step comes of."""
    mode = mode_in(sequence.mode, sequence.region)
    return Autoregressive() if isinstance(mode, Fastest) else mode.select(sequence)


def _step(sequence: Sequence) -> Step:
    """One step by `step_mode`, with what it chose from, cost and brought written down."""
    outlook, mode, region = sequence.outlook, sequence.step_mode, sequence.region
    first, first_forward, denoised = sequence.length, sequence.num_forwards, sequence.num_denoised
    reads_prompt = sequence.num_cached < sequence.num_prompt
    label = _label(mode)
    outlook.begins(region, label)
    head, ngrams = head_of(sequence.mode, region), ngrams_of(sequence.mode, region)
    expected = foreseen(sequence, head) if head is not None and asks_head(outlook, region) else ()
    is_legal = ngrams is None or _guesses_legally(sequence, ngrams)
    if mode is not sequence.mode:
        match = sequence.copies.match_at(first)
        matched = 0 if match is None else match.length
        outlook.chose(region, matched, mode, denoised=_denoises(mode))
        sequence.count_decision(f"{region.value}: {label}")
    yield from _followed(sequence, mode.step(sequence), denoised=_denoises(mode))
    forwards = sequence.forwards(first_forward)
    _judge_copies(sequence, region, first)
    if ngrams is not None:
        _judge_ngrams(sequence, region, first, ngrams, is_legal=is_legal)
    _judge_head(sequence, region, first, expected)
    if _is_chain(mode):
        _judge_denoising(sequence, region, first, sequence.num_denoised - denoised)
    if not reads_prompt:
        records, rows = sequence.records(first), sum(each.rows for each in forwards)
        picks = sum(each.origin not in _NOT_PICKED for each in records)
        forced = sum(each.origin is Origin.FORCED for each in records)
        outlook.earned(region, label, picks, forced, len(forwards), rows)


def _followed(sequence: Sequence, step: Step, *, denoised: bool) -> Step:
    """The same step; the account knows the rows that wait, and what drafts took."""
    outlook, region = sequence.outlook, sequence.region
    try:
        started = perf_counter()
        span, seconds = next(step), 0.0
        while True:
            seconds += perf_counter() - started
            if span.purpose is Purpose.VERIFY:
                # What is picked behind the last guess would be without guesses, too.
                num_picks = max(len(span.picks), 1)
                share = (num_picks - 1) / num_picks
                outlook.drafted(region, num_picks - 1, share * seconds, denoised=denoised)
            prompt = max(sequence.num_prompt - span.start, 0)
            outlook.waits_for(max(span.num_rows - prompt, 1))
            scores = yield span
            started = perf_counter()
            span = step.send(scores)
    except StopIteration:
        return
    finally:
        step.close()


def _judge_copies(sequence: Sequence, region: Region, first: int) -> None:
    """Compares what was committed with what a copy would have said, whether it was sent or not.
    What is known to be allowed counts: the first token, and under a grammar what was sent."""
    match = sequence.copies.match_at(first)
    if match is None:
        return
    for offset, record in enumerate(sequence.records(first)):
        right = sequence.tokens[match.place + offset] == sequence.tokens[first + offset]
        sent = record.origin is not Origin.AUTOREGRESSIVE
        if record.origin not in _NOT_PICKED and (offset == 0 or sent or region is Region.FREE):
            sequence.outlook.guessed(Guesser.COPY, region, match.length + offset, right)
        if not right:
            return


def _guesses_legally(sequence: Sequence, ngrams: NgramDrafter) -> bool:
    """Whether the grammar allows the table's guess for the next token, where it has one.

    Not known where drafts were not weighed: its mask is computed with the forward.
    """
    if sequence.region is not Region.FREE and sequence.outlook.last_look != sequence.length:
        return False
    guess = ngrams.first(sequence)
    return guess is None or sequence.allows(guess.token)


def _judge_ngrams(
    sequence: Sequence, region: Region, first: int, ngrams: NgramDrafter, *, is_legal: bool
) -> None:
    """As for copies, of the table's guesses; `is_legal` is known of the first."""
    table, tokens = ngrams.table, sequence.tokens
    assert table is not None, "fit the drafter to a network first"
    for at, record in enumerate(sequence.records(first), first):
        sent = record.origin is not Origin.AUTOREGRESSIVE
        known = is_legal if at == first else sent or region is Region.FREE
        if record.origin in _NOT_PICKED or not known:
            continue
        guess = table.after(tokens[at - 2] if at > 1 else None, tokens[at - 1])
        if guess is not None:
            right = guess.token == tokens[at]
            sequence.outlook.guessed(Guesser.NGRAM, region, guess.level, right)


def _judge_head(
    sequence: Sequence, region: Region, first: int, expected: tuple[Continuation, ...]
) -> None:
    """As for copies, of what the head expected before the step."""
    came = zip(sequence.records(first), sequence.tokens[first:], expected, strict=False)
    for record, token, guess in came:
        if record.origin in _NOT_PICKED:
            return
        sequence.outlook.guessed(Guesser.HEAD, region, guess.level, guess.token == token)
        if guess.token != token:
            return


def _judge_denoising(sequence: Sequence, region: Region, first: int, num_checked: int) -> None:
    """Of denoised guesses so many were checked, from the left up to the first that was wrong."""
    accepted = sum(each.origin is Origin.ACCEPTED for each in sequence.records(first))
    for place in range(1, min(accepted + 1, num_checked) + 1):
        sequence.outlook.guessed(Guesser.DENOISE, region, place, place <= accepted)


def _is_chain(mode: DecodeMode) -> bool:
    """Whether what was accepted says how far a draft without branches gets."""
    return not (isinstance(mode, SelfSpeculation) and mode.side_guesses)


def _denoises(mode: DecodeMode) -> bool:
    return isinstance(mode, SelfSpeculation) and mode.denoises


def _label(mode: DecodeMode) -> str:
    if isinstance(mode, SelfSpeculation | BlockDiffusion):
        return f"{mode.name} {mode.block_length}"
    return mode.name
