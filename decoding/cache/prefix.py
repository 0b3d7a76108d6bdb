"""The prefix index: which tokens are already encoded, and in which pages.

A radix tree whose edges are pages: a node is one page and the tokens encoded in it, its
children are the pages that may follow. Only full pages have children. Keys and values of a
token depend on all tokens before it, so a page is found only behind the same prefix.

A page that nobody but the index holds is *idle*. Whoever holds a node's page holds the pages of
all nodes above it as well, and pages become idle from the deepest node upwards; so the page
that has been idle longest is always a leaf, and evicting it looks at nothing else.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from decoding.cache.pages import PagePool

Key = tuple[int, ...]


@dataclass(slots=True, eq=False)
class Node:
    """One indexed page. `writer` marks that a live sequence appends behind `tokens`.

    `children` are found by their first token, then by all their tokens.
    """

    page: int
    tokens: Key
    parent: "Node | None"
    children: dict[int, dict[Key, "Node"]] = field(default_factory=dict)
    writer: bool = False

    def alike(self, tokens: Sequence[int]) -> dict[Key, "Node"]:
        """The children that share at least their first token with `tokens`."""
        return self.children.get(tokens[0], {}) if tokens else {}


@dataclass(frozen=True, slots=True)
class Match:
    """The longest indexed prefix: the full pages of `nodes`, from the root down, then `num_tail`
    tokens at the head of `tail`. `last` is the last of `nodes`, or the root."""

    nodes: tuple[Node, ...]
    last: Node
    tail: Node | None
    num_tail: int


class PrefixIndex:
    """Finds encoded prefixes and gives up the least recently used ones. Holds its pages."""

    def __init__(self, pool: PagePool) -> None:
        self._pool = pool
        self._node_of: dict[int, Node] = {}
        self._idle: OrderedDict[int, Node] = OrderedDict()
        self.root = Node(page=-1, tokens=(), parent=None)
        self.num_evicted = 0

    def __len__(self) -> int:
        return len(self._node_of)

    @property
    def num_idle(self) -> int:
        """Pages that `evict` can free."""
        return len(self._idle)

    def match(self, tokens: Sequence[int]) -> Match:
        """The longest encoded prefix of `tokens`. Holds nothing and changes nothing."""
        size = self._pool.page_size
        last, nodes, start = self.root, [], 0
        rest = tuple(tokens[:size])
        while len(rest) == size and (child := last.alike(rest).get(rest)) is not None:
            nodes.append(child)
            last, start = child, start + size
            rest = tuple(tokens[start : start + size])
        tail, num_tail = None, 0
        for child in last.alike(rest).values():
            common = _common_prefix(child.tokens, rest)
            if common > num_tail:
                tail, num_tail = child, common
        return Match(tuple(nodes), last, tail, num_tail)

    def add(self, parent: Node, tokens: Key, page: int) -> Node:
        """The child of `parent` that begins with `tokens`: the one there is, else a new one for
        `page`, which gains a holder.

        A new child takes the place of what it continues: the node of the same page, and partial
        pages that nobody writes to.
        """
        old = self._node_of.get(page)
        if old is not None and old.tokens != tokens:
            self._remove(old)
        alike = parent.alike(tokens)
        if tokens in alike:
            return alike[tokens]
        for other in alike.values():
            if other.tokens[: len(tokens)] == tokens:
                return other
        for other in [each for each in alike.values() if not each.writer]:
            if other.tokens == tokens[: len(other.tokens)]:
                self._remove(other)
        self._pool.hold(page)
        child = self._node_of[page] = Node(page=page, tokens=tokens, parent=parent)
        parent.children.setdefault(tokens[0], {})[tokens] = child
        return child

    def hold(self, page: int) -> None:
        """Adds a holder to an indexed page, whose node's ancestors the holder holds, too."""
        self._pool.hold(page)
        self._idle.pop(page, None)

    def release(self, page: int) -> None:
        """Drops a holder of any page. Deepest pages first: see the head of this file."""
        self._pool.release(page)
        node = self._node_of.get(page)
        if node is not None and self._pool.holders(page) == 1:
            self._idle[page] = node

    def evict(self, num_pages: int) -> int:
        """Frees up to `num_pages` idle pages, those first that became idle first.

        Returns how many were freed.
        """
        count = min(num_pages, len(self._idle))
        for _ in range(count):
            _, node = self._idle.popitem(last=False)
            assert not node.children, "an idle page is followed by one that is held"
            self._remove(node)
        self.num_evicted += count
        return count

    def nodes(self) -> Iterator[Node]:
        """All nodes, for checks."""
        return iter(self._node_of.values())

    def _remove(self, node: Node) -> None:
        assert node.parent is not None
        assert not node.children
        alike = node.parent.children[node.tokens[0]]
        del alike[node.tokens]
        if not alike:
            del node.parent.children[node.tokens[0]]
        del self._node_of[node.page]
        self._idle.pop(node.page, None)
        self._pool.release(node.page)


def _common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    pairs = zip(left, right, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))
