"""Who gets how many rows of a forward."""

from collections.abc import Iterable
from operator import attrgetter

from decoding.live import Live


def share_rows(live: Iterable[Live], budget: int) -> list[Live]:
    """Sets `num_rows` of the sequences that take part in the next forward and returns them.

    Where all pending rows fit the budget, all take part. Else those that decode come first,
    those that waited longest before the others, and what is left is shared equally among those
    that read their prompt; an eighth is, where one of them waited longest of all. Only what may
    be split is split (`Live.num_ahead`); a span that is larger than the budget and cannot be is
    evaluated in a forward without others, so the budget is exceeded by single spans only. So
    nobody starves.
    """
    everyone = list(live)
    total = 0
    for one in everyone:
        num_left = one.num_left
        one.num_rows, one.num_picks = num_left, len(one.span.picks)
        total += num_left
    if total <= budget:
        return everyone
    for one in everyone:
        one.take(0)
    in_order = sorted(everyone, key=attrgetter("served"))
    readers = [one for one in in_order if one.is_reading]
    reserved = max(1, budget // 8) if in_order[0].is_reading else 0
    decoding = [one for one in in_order if not one.is_reading]
    left = budget - _serve(decoding, budget - reserved, must=not reserved)
    _share(readers[: max(0, left)], left)
    return [one for one in in_order if one.num_rows]


def _serve(decoding: list[Live], budget: int, *, must: bool) -> int:
    """Gives each all it waits for while that fits; returns how many rows were given. `must` says
    that the first is served whether it fits or not."""
    given = 0
    for one in decoding:
        room = max(0, budget - given)
        if one.num_left <= room:
            one.take(one.num_left)
        elif one.num_ahead and room:
            one.take(min(one.num_ahead, room))
        elif must and not given:
            one.take(one.num_left)
        given += one.num_rows
    return given


def _share(readers: list[Live], rows: int) -> None:
    """Equal shares; what a short prompt leaves goes to the longer ones."""
    readers.sort(key=attrgetter("num_left"))
    for place, one in enumerate(readers):
        share = rows // (len(readers) - place)
        one.take(one.num_left if one.num_left <= share else min(share, one.num_ahead))
        rows -= one.num_rows
