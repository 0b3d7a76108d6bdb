"""The prefix index: which tokens are already encoded, and in which pages.

A radix tree whose edges are pages: a node is one page and the tokens encoded in it, its
children are the pages that may follow. Only full pages have children. Keys and values of a
token depend on all tokens before it, so a page is found only behind the same prefix.

A page that nobody but the index holds is *idle*. Whoever holds a node's page holds the pages of
all nodes above it as well, and pages become idle from the deepest node upwards; so the page
that has been idle longest is always a leaf, and evicting it looks at nothing else.

A page may be *kept* for somebody who will come back, together with all pages above it. Idle
pages that are kept are evicted after all others.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from decoding.cache.pages import PagePool

Key = tuple[int, ...]


@dataclass(slots=True, eq=False)
class Node:
    """One indexed page. `writer` marks that a live sequence appends behind `tokens`, `keepers`
    counts those it is kept for.

    `children` are found by their first token, then by all their tokens.
    """

    page: int
    tokens: Key
    parent: "Node | None"
    children: dict[int, dict[Key, "Node"]] = field(default_factory=dict)
    writer: bool = False
    keepers: int = 0

    @property
    def path(self) -> "list[Node]":
        """The nodes from the first page down to this one; none for the root."""
        nodes, node = [], self
        while node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]

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
        self._idle_kept: OrderedDict[int, Node] = OrderedDict()
        self.root = Node(page=-1, tokens=(), parent=None)
        self.num_added = 0
        self.num_evicted = 0
        self.num_kept = 0

    def __len__(self) -> int:
        return len(self._node_of)

    @property
    def num_idle(self) -> int:
        """Pages that `evict` can free."""
        return len(self._idle) + len(self._idle_kept)

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
        self.num_added += 1
        return child

    def hold(self, page: int) -> None:
        """Adds a holder to an indexed page, whose node's ancestors the holder holds, too."""
        self._pool.hold(page)
        self._wake(page)

    def release(self, page: int) -> None:
        """Drops a holder of any page. Deepest pages first: see the head of this file."""
        self._pool.release(page)
        node = self._node_of.get(page)
        if node is not None and self._pool.holders(page) == 1:
            self._rest(node)

    def keep(self, node: Node) -> None:
        """Adds somebody a node is kept for; the nodes above it come first, and are held or kept
        for the same."""
        node.keepers += 1
        if node.keepers == 1:
            self.num_kept += 1
            self._move_if_idle(node)

    def unkeep(self, node: Node) -> None:
        """Drops somebody a node was kept for; the nodes below it come first. The page may be
        gone."""
        node.keepers -= 1
        if node.keepers == 0 and self._node_of.get(node.page) is node:
            self.num_kept -= 1
            self._move_if_idle(node)

    def evict(self, num_pages: int) -> int:
        """Frees up to `num_pages` idle pages: those that are not kept before those that are, and
        of both those first that became idle first.

        Returns how many were freed.
        """
        count = min(num_pages, self.num_idle)
        for _ in range(count):
            _, node = (self._idle or self._idle_kept).popitem(last=False)
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
        self._wake(node.page)
        self.num_kept -= node.keepers > 0
        self._pool.release(node.page)

    def _rest(self, node: Node) -> None:
        (self._idle_kept if node.keepers else self._idle)[node.page] = node

    def _wake(self, page: int) -> None:
        self._idle.pop(page, None)
        self._idle_kept.pop(page, None)

    def _move_if_idle(self, node: Node) -> None:
        if node.page in self._idle or node.page in self._idle_kept:
            self._wake(node.page)
            self._rest(node)


def _common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    pairs = zip(left, right, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))
