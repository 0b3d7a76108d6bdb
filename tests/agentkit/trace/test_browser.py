"""The page in a headless browser: what it looks like, by its structure."""

import re
from dataclasses import replace
from importlib import resources
from typing import Any

import pytest

from agentkit.trace import TokenOrigin, TurnTrace, render
from tests.agentkit.trace.chromium import Chromium, Scene
from tests.agentkit.trace.png import Pixels, read_png
from tests.agentkit.trace.samples import run_of, sample_run, token

PAGE = render(sample_run())
STYLE = resources.files("agentkit.trace").joinpath("templates", "style.css").read_text("utf-8")
SELECTORS = {
    "heading": "h1",
    "guide": ".guide",
    "sketches": ".sketch",
    "lanes": ".lanes",
    "turns": "#lane-turns .bar",
    "calls": "#lane-calls .bar",
    "modes": "#lane-modes .bar",
    "chart": ".chart",
    "gaps": ".gap",
    "forwards": ".forward",
    "answers": ".answers",
    "tokens": ".tokens .t",
    "words": ".guide > p",
    "piles": ".mini .gain i",
    "table": "table.turns",
    "heads": "table.turns thead th",
    "end": "main > section:last-of-type",
    "hint": ".detail",
    "aside": "aside",
    "detail": "#detail",
    **{f"cells-{each.value}": f".forward i.o-{each.value}" for each in TokenOrigin},
    **{f"mark-{each.value}": f".legend .o-{each.value}" for each in TokenOrigin},
}

WIDTHS = (320, 400, 768)
KEYS = {
    "ArrowRight": "token-0-1",
    "End": "token-0-10",
    "ArrowLeft": "token-0-9",
    "Enter": "forward-0-7",
    "Home": "forward-0-none",
}
"""Pressed one after the other, from the first token on, and where each leads."""

SCRIPTS = (
    "<script>document.title='gone'</script>",
    "</span></div></script><img src=x onerror=\"document.title='gone'\">",
    "\" autofocus onfocus=\"document.title='gone'",
    "\u202e\r\x00",
)
LONG = render(run_of([token("a" * 300), token(" b")], prompt="b" * 300))
HOSTILE = render(run_of([token(text) for text in SCRIPTS], prompt=SCRIPTS[1]))


def focused(name: str) -> str:
    return f'document.getElementById("{name}").focus({{preventScroll: true}});'


def told_in_place_of_the_detail(words: str) -> str:
    return f'document.getElementById("detail").textContent = {words};'


def pressed() -> str:
    steps = "".join(
        f'document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {{key: "{key}", '
        "bubbles: true})); seen.push(document.activeElement.id);"
        for key in KEYS
    )
    return f"const seen = []; {focused('token-0-0')} {steps}" + told_in_place_of_the_detail(
        'seen.join(" ")'
    )


def costly(turn: TurnTrace) -> TurnTrace:
    """With numbers as wide as they come."""
    assert turn.decoding is not None
    stats = replace(
        turn.decoding.stats,
        prompt_tokens=123_456,
        cached_prompt_tokens=123_456,
        drafted=12_345,
        accepted=12_345,
        mask_microseconds=1_234_567.0,
    )
    return replace(turn, decoding=replace(turn.decoding, stats=stats))


RUN = sample_run()
COSTLY = render(replace(RUN, turns=tuple(map(costly, RUN.turns))))
BROKEN_OFF = render(replace(RUN, turns=tuple(replace(each, decoding=None) for each in RUN.turns)))

AT_THE_END = 'scrollTo({top: document.body.scrollHeight, behavior: "instant"});'

SCENES = {
    "costly": Scene(COSTLY),
    "broken off": Scene(BROKEN_OFF),
    **{f"end-{width}": Scene(PAGE, width, AT_THE_END) for width in (400, 1280)},
    "wide": Scene(PAGE),
    **{f"sample-{width}": Scene(PAGE, width) for width in WIDTHS},
    **{f"long-{width}": Scene(LONG, width) for width in WIDTHS},
    "token": Scene(PAGE, action=focused("token-0-3")),
    "forward": Scene(PAGE, action=focused("forward-0-4")),
    "pointer": Scene(
        PAGE,
        action='document.querySelector("#forward-0-3 i").dispatchEvent('
        'new PointerEvent("pointerover", {bubbles: true}));',
    ),
    "keys": Scene(PAGE, action=pressed()),
    "zoomed": Scene(PAGE, action='document.getElementById("zoom-16").checked = true;'),
    "hostile": Scene(HOSTILE, action=told_in_place_of_the_detail("document.title")),
}

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Chromium:
    return Chromium.found(tmp_path_factory.mktemp("chromium"))


@pytest.fixture(scope="module")
def scenes(chromium: Chromium) -> dict[str, dict[str, Any]]:
    """All that is measured, in one run of the browser."""
    return chromium.measure(SCENES, SELECTORS)


@pytest.fixture
def wide(scenes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return scenes["wide"]


def palette(which: int) -> dict[str, tuple[int, int, int]]:
    """The colours of the style sheet: the first block is light, the second dark."""
    block = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[which]
    found = re.findall(r"--([a-z]+): #([0-9a-f]{6});", block)
    return {name: tuple(bytes.fromhex(value)) for name, value in found}  # type: ignore[misc]


def luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [
        part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4
        for part in colour
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["light", "dark", "print"])
def test_colours_can_be_told_from_the_paper(which: int) -> None:
    colours = palette(which)
    for ground in (colours["paper"], colours["card"]):
        for name in ("ink", "soft", "error"):
            assert contrast(colours[name], ground) >= 4.5, name
        for origin in TokenOrigin:
            assert contrast(colours[origin.value], ground) >= 3, origin


def test_each_origin_has_a_second_cue() -> None:
    lines = re.findall(r"\.o-([a-z]+) \{ --c: [^;]+; --u: ([a-z]+); --w: ([\d.a-z]+); \}", STYLE)
    assert {name for name, _, _ in lines} == {origin.value for origin in TokenOrigin}
    assert len({(kind, width) for _, kind, width in lines}) == len(lines)


def middle(pixels: Pixels, box: list[float]) -> tuple[int, int, int]:
    left, top, width, height = box
    pixel = pixels[int(top + height / 2), int(left + width / 2)]
    return tuple(int(part) for part in pixel)  # type: ignore[return-value]


def is_near(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= 3


def test_light_and_dark_have_one_structure_and_their_own_colours(
    chromium: Chromium, wide: dict[str, Any]
) -> None:
    boxes = wide["boxes"]
    pictures = [
        read_png(chromium.photograph(PAGE, scheme, width=1280, height=1100))
        for scheme in ("light", "dark")
    ]
    for which, pixels in enumerate(pictures):
        colours = palette(which)
        assert pixels.shape == (1100, 1280, 3)
        assert is_near(middle(pixels, [2, 2, 4, 4]), colours["paper"])
        assert is_near(middle(pixels, [*boxes["guide"][0][:2], 12, 12]), colours["card"])
        for origin in TokenOrigin:
            for box in boxes[f"cells-{origin.value}"]:
                seen = middle(pixels, box)
                assert is_near(seen, colours[origin.value]), (origin, box, seen)
    light, dark = pictures
    assert (light[:, :4] != dark[:, :4]).all()


def test_lanes_lie_above_the_forwards_in_the_order_of_time(wide: dict[str, Any]) -> None:
    boxes: dict[str, list[list[float]]] = wide["boxes"]
    tops = [boxes[name][0][1] for name in ("heading", "guide", "turns", "calls", "modes", "chart")]
    assert tops == sorted(tops)
    assert boxes["answers"][0][1] > boxes["chart"][0][1] + boxes["chart"][0][3]
    assert boxes["aside"][0][0] > boxes["answers"][0][0] + boxes["answers"][0][2]
    starts = [box[0] for box in boxes["forwards"]]
    assert starts == sorted(starts)
    first, second = boxes["turns"]
    assert first[0] + first[2] == pytest.approx(second[0], abs=1)
    # The calls ran at once, so one lies below the other, and inside their turn.
    search, weather = boxes["calls"]
    assert weather[1] >= search[1] + search[3]
    assert search[2] > weather[2]
    gap = max(boxes["gaps"], key=lambda box: box[2])
    assert gap[0] >= first[0] + first[2] * 0.4
    assert gap[2] > 300
    assert len({box[1] for box in boxes["sketches"]}) == 1


def test_a_pile_is_as_high_as_its_tokens(wide: dict[str, Any]) -> None:
    [accepted] = wide["boxes"]["cells-accepted"]
    [copied] = wide["boxes"]["cells-copied"]
    [corrected] = wide["boxes"]["cells-corrected"]
    assert accepted[0] == copied[0] == corrected[0]
    assert accepted[1] == pytest.approx(copied[1] + copied[3])
    assert copied[1] == pytest.approx(corrected[1] + corrected[3])
    for rider in (*wide["boxes"]["cells-forced"], *wide["boxes"]["cells-closing"]):
        assert rider[3] < accepted[3] / 2


def test_every_token_has_a_place(wide: dict[str, Any]) -> None:
    tokens = wide["boxes"]["tokens"]
    assert len(tokens) == 13
    assert all(width > 3 and height > 10 for _, _, width, height in tokens)
    left, _, width, _ = wide["boxes"]["answers"][0]
    assert all(left <= box[0] and box[0] + box[2] <= left + width + 1 for box in tokens)


@pytest.mark.parametrize("page", ["sample", "long"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_hangs_over_on_a_small_screen(
    scenes: dict[str, dict[str, Any]], page: str, width: int
) -> None:
    told = scenes[f"{page}-{width}"]
    assert told["room"] == width
    assert told["width"] == width
    assert told["boxes"]["aside"][0][1] > told["boxes"]["answers"][0][1]
    for left, _, across, _ in told["boxes"]["tokens"]:
        assert left >= 0
        assert left + across <= width


@pytest.mark.parametrize("name", ["wide", "costly", "broken off"])
def test_the_table_of_turns_fits_its_box(scenes: dict[str, dict[str, Any]], name: str) -> None:
    boxes = scenes[name]["boxes"]
    [section] = boxes["end"]
    [table] = boxes["table"]
    right = section[0] + section[2]
    assert table[0] + table[2] <= right
    assert all(head[0] + head[2] <= right for head in boxes["heads"])
    assert len(boxes["heads"]) == 14


def test_the_first_sketch_follows_its_text_on_a_small_screen(
    scenes: dict[str, dict[str, Any]],
) -> None:
    boxes = scenes["sample-400"]["boxes"]
    _, top, _, height = boxes["words"][0]
    assert 0 < min(pile[1] for pile in boxes["piles"]) - (top + height) < 24


@pytest.mark.parametrize("width", [400, 1280])
def test_the_hint_hides_nothing_at_the_end_of_the_page(
    scenes: dict[str, dict[str, Any]], width: int
) -> None:
    boxes = scenes[f"end-{width}"]["boxes"]
    _, top, _, height = boxes["end"][0]
    assert boxes["hint"][0][1] - (top + height) >= 28  # what fades above it


def test_what_belongs_together_is_lit_together_and_nothing_moves(
    scenes: dict[str, dict[str, Any]], wide: dict[str, Any]
) -> None:
    told = scenes["token"]
    assert set(told["lit"]) == {"forward-0-3", *(f"token-0-{index}" for index in range(2, 6))}
    assert told["near"] == ["forward-0-2"]  # the draft that was checked
    assert told["detail"].startswith("Token 4, accepted copy")
    assert told["boxes"] == wide["boxes"]
    assert (wide["lit"], wide["near"]) == ([], [])
    back = scenes["forward"]
    assert set(back["lit"]) == {"forward-0-4", "token-0-6", "token-0-8"}
    assert set(back["near"]) == {"forward-0-5", "forward-0-6", "token-0-7"}
    assert "\u2068 six eight\u2069" in back["detail"]
    assert scenes["pointer"]["lit"] == told["lit"]


def test_the_keyboard_reaches_everything(
    scenes: dict[str, dict[str, Any]], wide: dict[str, Any]
) -> None:
    assert wide["reachable"] == ["forward-0-none", "token-0-0", "token-1-0"]
    assert scenes["keys"]["detail"].split() == list(KEYS.values())
    assert scenes["keys"]["focus"] == "forward-0-none"


def test_zooming_stretches_the_lanes_only(
    scenes: dict[str, dict[str, Any]], wide: dict[str, Any]
) -> None:
    told = scenes["zoomed"]
    assert told["width"] == wide["width"]
    lanes, stretched = wide["boxes"]["lanes"][0], told["boxes"]["lanes"][0]
    assert stretched[2] == pytest.approx(16 * lanes[2], rel=0.01)
    assert told["boxes"]["tokens"] == wide["boxes"]["tokens"]


def test_hostile_text_runs_nothing(scenes: dict[str, dict[str, Any]]) -> None:
    told = scenes["hostile"]
    assert told["detail"].startswith("4 tokens in 1 forward")
    assert len(told["boxes"]["tokens"]) == 4
