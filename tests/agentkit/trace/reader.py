"""Reads a page as a browser would, for what the tests ask about."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "input", "link", "img"}


@dataclass
class Node:
    """An element. `children` holds elements and text."""

    tag: str
    attributes: dict[str, str]
    children: list["Node | str"] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()

    @property
    def text(self) -> str:
        """As it was before it was made visible."""
        if "data-c" in self.attributes:
            return chr(int(self.attributes["data-c"], 16))
        return "".join(each if isinstance(each, str) else each.text for each in self.children)

    def walk(self) -> Iterator["Node"]:
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.walk()

    def all(self, *, tag: str = "", css: str = "", having: str = "") -> list["Node"]:
        return [
            node
            for node in self.walk()
            if tag in ("", node.tag)
            and (not css or css in node.classes)
            and (not having or having in node.attributes)
        ]

    def one(self, name: str) -> "Node":
        [node] = [node for node in self.walk() if node.attributes.get("id") == name]
        return node

    def number(self, key: str) -> str:
        [node] = [node for node in self.walk() if node.attributes.get("data-number") == key]
        return node.text


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice"
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        node = self.open.pop()
        assert node.tag == tag, f"</{tag}> closes <{node.tag}>"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(page: str) -> Node:
    """The page as a tree. Fails where tags are not nested well."""
    builder = _Builder()
    builder.feed(page)
    builder.close()
    assert builder.open == [builder.root]
    return builder.root


def tokens_of(page: Node) -> list[Node]:
    """The page's tokens, in order; those of the legend are not among them."""
    return [node for node in page.all(css="t") if node.attributes.get("id", "").startswith("token")]
