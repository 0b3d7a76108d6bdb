"""Server-sent events, split anywhere."""

from hypothesis import given
from hypothesis import strategies as st

from agentkit.models.sse import EventParser

LINE_ENDS = st.sampled_from(["\n", "\r", "\r\n"])
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12)
NOISE = st.lists(
    st.one_of(
        TEXT.map(lambda text: ":" + text),
        st.sampled_from(["event: ping", "id: 3", "retry: 10", "datax: no", "id"]),
    ),
    max_size=2,
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[str], str]:
    """Events, and one way among many to write them down."""
    events = draw(st.lists(st.lists(TEXT, min_size=1, max_size=3), max_size=5))
    written = "\ufeff" if draw(st.booleans()) else ""
    for lines in events:
        for line in lines:
            for noise in draw(NOISE):
                written += noise + draw(LINE_ENDS)
            space = " " if line.startswith(" ") or draw(st.booleans()) else ""
            written += f"data:{space}{line}" + draw(LINE_ENDS)
        end = draw(LINE_ENDS)
        # A lone CR, then a blank line's LF, would be one CR LF.
        written += "\r" if written.endswith("\r") and end == "\n" else end
    return ["\n".join(lines) for lines in events], written


@given(streams(), st.data())
def test_events_do_not_depend_on_where_the_bytes_are_split(
    stream: tuple[list[str], str], data: st.DataObject
) -> None:
    events, written = stream
    raw = written.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    parser = EventParser()
    pieces = [raw[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert [event for piece in pieces for event in parser.push(piece)] == events
    bytewise = EventParser()
    assert [event for byte in raw for event in bytewise.push(bytes([byte]))] == events


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_any_bytes_give_the_same_events_whole_and_in_pieces(pieces: list[bytes]) -> None:
    whole, split = EventParser(), EventParser()
    assert [event for piece in pieces for event in split.push(piece)] == list(
        whole.push(b"".join(pieces))
    )


def test_an_event_without_its_blank_line_is_not_given() -> None:
    assert list(EventParser().push(b"data: one\n\ndata: two\n")) == ["one"]


def test_data_without_a_colon_is_an_empty_line() -> None:
    assert list(EventParser().push(b"data\ndata\n\n\n")) == ["\n"]
