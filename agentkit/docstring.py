"""Docstrings, read for what a model should know: the description and the parameters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from griffe import Docstring as GriffeDocstring
from griffe import DocstringSection, DocstringSectionKind

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
    sections = GriffeDocstring(text).parse("auto", per_style_options=_QUIET)
    return Docstring(
        description="\n\n".join(filter(None, map(_prose, sections))),
        parameters=dict(_parameters(sections)),
    )


def _prose(section: DocstringSection) -> str:
    match section.kind:
        case DocstringSectionKind.text:
            return str(section.value).strip()
        case DocstringSectionKind.admonition:
            return f"{section.title}: {section.value.description.strip()}"
        case _:
            return ""


def _parameters(sections: Iterable[DocstringSection]) -> Iterable[tuple[str, str]]:
    kinds = (DocstringSectionKind.parameters, DocstringSectionKind.other_parameters)
    for section in sections:
        if section.kind in kinds:
            for parameter in section.value:
                yield parameter.name, " ".join(parameter.description.split())
