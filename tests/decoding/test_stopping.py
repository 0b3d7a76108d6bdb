"""Stop strings are found wherever the text is cut into pieces."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from decoding.stopping import StopStrings

texts = st.text(alphabet="abX", max_size=30)
stops = st.lists(st.text(alphabet="abX", min_size=1, max_size=4), max_size=3)


def first_stop(text: str, stops: list[str]) -> int | None:
    """Where the text ends if it is read letter by letter and each end is looked at."""
    for end in range(1, len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return min(starts)
    return None


@given(texts, stops, st.lists(st.integers(0, 30), max_size=6))
def test_pieces_give_what_the_whole_text_gives(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    watcher, shown = StopStrings(stops), ""
    for first, last in pairwise(bounds):
        shown += watcher.push(text[first:last])
        if watcher.found is not None:
            break
    found = any(stop in text for stop in stops)
    assert (watcher.found is not None) == found
    if found:
        assert not any(stop in shown for stop in stops)
        assert text.startswith(shown + watcher.found)
    else:
        assert shown + watcher.flush() == text


@given(texts, stops)
def test_letter_by_letter_stops_at_the_first_complete_stop(text: str, stops: list[str]) -> None:
    watcher, shown = StopStrings(stops), ""
    for letter in text:
        shown += watcher.push(letter)
        if watcher.found is not None:
            break
    expected = first_stop(text, stops)
    assert shown + watcher.flush() == (text if expected is None else text[:expected])


def test_no_beginning_of_a_stop_string_is_shown() -> None:
    watcher = StopStrings(["<end>"])
    assert watcher.push("a<e") == "a"
    assert watcher.push("n") == ""
    assert watcher.push("x") == "<enx"
    assert watcher.push("<end> more") == ""
    assert watcher.found == "<end>"
