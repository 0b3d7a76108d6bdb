"""The documentation hangs together: navigation, links, and a reference of every public name."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
import pytest
import yaml

import agentkit
import agentkit.models
import decoding
import tools
from tests.documents import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
SOURCES = (*ROOT.glob("*.md"), *PAGES)
REFERENCE = {
    "agentkit": agentkit.__all__,
    "agentkit.models": agentkit.models.__all__,
    "decoding": decoding.__all__,
    "tools": tools.__all__,
}


def prose(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def relative_links(page: Path) -> list[tuple[str, str]]:
    """The path and the anchor of each, either of them maybe empty."""
    links = re.findall(r"\]\(([^)\s#]*)#?([^)\s]*)\)", prose(page))
    return [(path, anchor) for path, anchor in links if "://" not in path]


def headings(page: Path) -> list[str]:
    return [re.sub(r"[`*]", "", line) for line in re.findall(r"(?m)^#+ (.*)$", prose(page))]


def anchors_on_the_site(page: Path) -> set[str]:
    kept = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings(page)]
    return {re.sub(r"[-\s]+", "-", heading) for heading in kept}


def anchors_in_the_repository(page: Path) -> set[str]:
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings(page)}


def entries(navigation: list[Any]) -> Iterator[str]:
    for item in navigation:
        for below in item.values():
            if isinstance(below, str):
                yield below
            else:
                yield from entries(below)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_navigation_has_every_page_once() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = sorted(entries(settings["nav"]))
    assert listed == sorted(str(page.relative_to(DOCS)) for page in PAGES)


@pytest.mark.parametrize("page", SOURCES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in relative_links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if DOCS in page.parents:
            assert target.is_relative_to(DOCS), f"{path} is not on the site"
        if anchor:
            # One anchor for both readers.
            assert anchor in anchors_on_the_site(target), f"{path}#{anchor}"
            assert anchor in anchors_in_the_repository(target), f"{path}#{anchor}"


def test_links_are_found() -> None:
    assert ("durability.md", "decisions") in relative_links(DOCS / "streaming.md")


def test_the_project_speaks_of_files_that_exist() -> None:
    folders = "docs|decoding|agentkit|tools|examples|benchmarks"
    names = re.findall(rf"`((?:{folders})/[\w/.]+)`", "\n".join(map(prose, SOURCES)))
    assert names
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("module", REFERENCE)
def test_the_reference_has_every_public_name_once(module: str) -> None:
    text = (DOCS / "api" / f"{module.rpartition('.')[2]}.md").read_text(encoding="utf-8")
    told = [path.rpartition(".")[2] for path in re.findall(r"(?m)^::: ([\w.]+)$", text)]
    assert sorted(told) == sorted(REFERENCE[module])


@pytest.mark.parametrize("module", REFERENCE)
def test_what_the_reference_tells_has_a_docstring(module: str) -> None:
    package = griffe.load(module, search_paths=[str(ROOT)], resolve_aliases=True)
    text = (DOCS / "api" / f"{module.rpartition('.')[2]}.md").read_text(encoding="utf-8")
    for path in re.findall(r"(?m)^::: ([\w.]+)$", text):
        told = package[path.removeprefix(f"{module}.")]
        told = told.final_target if told.is_alias else told
        assert not told.is_module, f"{path} is the module, not what has its name"
        assert told.docstring is not None, path
        assert told.docstring.value.strip(), path
