"""What must hold of an engine between any two steps, and of two completions that are the same."""

from decoding import Completion, Engine
from decoding.sequence import Sequence


def assert_sound(engine: Engine) -> None:
    """What must hold between any two forwards (see `decoding.modes.base`), where the cache is
    that of a scripted network, whose keys are token ids."""
    engine._cache.pool.check()
    for live in engine._live.values():
        sequence = live.sequence
        assert sequence.lease is not None
        assert sequence.num_cached < sequence.length
        assert sequence.room > 0
        slots = sequence.lease.slots(sequence.num_cached)
        keys = engine._cache.storage.keys_SGD[0][slots].flatten().tolist()
        assert keys == sequence.encoded
        assert_matcher_in_step(sequence)


def assert_matcher_in_step(sequence: Sequence) -> None:
    """The grammar stands behind exactly the committed tokens, since where it began."""
    if sequence._constraint is not None:
        accepted = list(sequence._constraint.matcher().tokens)
        assert accepted == sequence.tokens[len(sequence.tokens) - len(accepted) :]
        assert len(accepted) >= sequence.num_new


def assert_all_pages_back(engine: Engine) -> None:
    assert engine.is_idle
    engine._cache.pool.check()
    engine._cache.index.evict(engine._cache.pool.num_pages)
    assert engine.stats().held_pages == 0


def without_times(completion: Completion) -> tuple[object, ...]:
    return (
        completion.text,
        completion.token_ids,
        completion.finish_reason,
        completion.logprobs,
        completion.stats.forced,
    )
