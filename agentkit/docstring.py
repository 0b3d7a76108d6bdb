"""Docstrings, read for what a model should know: the description and the parameters. Adapter
to `griffe`, which is imported on first use, since it would be a quarter of the time that
`import agentkit` takes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from griffe import DocstringSection

_QUIET = {style: {"warnings": False} for style in ("google", "numpy", "sphinx")}


@dataclass(frozen=True, slots=True)
class Docstring:
    """What a docstring says. `parameters` maps a parameter's name to its description."""

    description: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_docstring(text: str | None) -> Docstring:
    """Reads Google, NumPy and Sphinx style; any other text is all description.

    Sections about results, errors and examples are left out: they are written for people who
    read code.
    """
    if not text or not text.strip():
        return Docstring()
    from griffe import Docstring as GriffeDocstring

    sections = GriffeDocstring(text).parse("auto", per_style_options=_QUIET)
    return Docstring(
        description="\n\n".join(filter(None, map(_prose, sections))),
        parameters=dict(_parameters(sections)),
    )


def _prose(section: "DocstringSection") -> str:
    match section.kind.value:
        case "text":
            return str(section.value).strip()
        case "admonition":
            return f"{section.title}: {section.value.description.strip()}"
        case _:
            return ""


def _parameters(sections: Iterable["DocstringSection"]) -> Iterable[tuple[str, str]]:
    for section in sections:
        if section.kind.value in ("parameters", "other parameters"):
            for parameter in section.value:
                yield parameter.name, " ".join(parameter.description.split())
