"""The index of earlier occurrences against a plain search."""

from hypothesis import given, settings
from hypothesis import strategies as st

from decoding.copies import CopyIndex, Match

tokens = st.lists(st.integers(0, 3), max_size=30)


def plain(text: list[int], most: int, least: int, banned: int | None = None) -> Match | None:
    for size in range(most, least - 1, -1):
        for end in range(len(text) - 1, size - 1, -1):
            if text[end - size : end] == text[len(text) - size :] and text[end] != banned:
                longest = size
                while longest < min(16, end) and text[end - longest - 1] == text[-longest - 1]:
                    longest += 1
                return Match(longest, end)
    return None


@settings(max_examples=300)
@given(st.lists(tokens, min_size=1, max_size=4), st.integers(1, 4), st.integers(0, 3), tokens)
def test_a_growing_text_is_searched_as_a_whole_one(
    parts: list[list[int]], least: int, more: int, tried: list[int]
) -> None:
    text = list[int]()
    index = CopyIndex(text)
    for part in parts:
        text += part
        expected = plain(text, least + more, least)
        assert index.match(least + more, least) == expected
        assert index.match_at(len(text)) == expected
        for count, token in enumerate(tried, start=1):
            index.push(token)
            if count % 7 == 0:
                ahead = [*text, *tried[:count]]
                assert index.search(least + more, least) == plain(ahead, least + more, least)
        index.drop(len(tried))
        assert index.match(least + more, least) == expected
    assert index.match_at(len(text) + 1) is None


@given(tokens, st.integers(1, 4), st.integers(0, 3), st.integers(0, 3))
def test_what_may_not_follow_is_not_copied(
    text: list[int], least: int, more: int, banned: int
) -> None:
    found = CopyIndex(text).match(least + more, least, lambda token: token != banned)
    assert found == plain(text, least + more, least, banned)


def test_indices_of_several_n_grams_live_side_by_side() -> None:
    text = [1, 2, 3, 1, 2, 9, 2]
    index = CopyIndex(text)
    assert index.match(4, 1) == Match(1, 5)
    assert index.match(4, 2) is None
    text += [9]
    assert index.match(4, 2) == Match(2, 6)
    assert index.match(4, 1) == Match(2, 6)


def test_a_search_looks_at_a_bounded_number_of_places() -> None:
    text = [1, 2, 3, *([1, 9] * 400), 2, 3, *([1, 9] * 400), 1, 2]
    index = CopyIndex(text)
    found = index.match(2, 1)
    assert found is not None
    assert found.length == 2
    text += [3, 1]
    assert CopyIndex([7, 1, *([8, 1] * 400), 7, 1]).match(2, 1) == Match(1, 801 + 1)
