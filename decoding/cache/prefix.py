"""The prefix index: which tokens are already encoded, and in which pages.

A radix tree whose edges are pages: a node is one page and the tokens encoded in it, its
children are the pages that may follow. Only full pages have children. Keys and values of a
token depend on all tokens before it, so a page is found only behind the same prefix.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from decoding.cache.pages import PagePool


@dataclass(slots=True, eq=False)
class Node:
    """One indexed page. `writer` marks that a live sequence appends behind `tokens`."""

    page: int
    tokens: tuple[int, ...]
    parent: "Node | None"
    children: dict[tuple[int, ...], "Node"] = field(default_factory=dict)
    last_used: int = 0
    writer: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """The longest indexed prefix: full pages, then `num_tail` tokens at the head of `tail`."""

    pages: tuple[int, ...]
    tail: Node | None
    num_tail: int


class PrefixIndex:
    """Finds encoded prefixes and gives up the least recently used ones. Holds its pages."""

    def __init__(self, pool: PagePool) -> None:
        self._pool = pool
        self._root = Node(page=-1, tokens=(), parent=None)
        self._clock = 0

    def match(self, tokens: Sequence[int]) -> Match:
        """The longest encoded prefix of `tokens`. Marks it as used; holds nothing."""
        self._clock += 1
        size = self._pool.page_size
        node, pages, start = self._root, [], 0
        while (child := node.children.get(tuple(tokens[start : start + size]))) is not None:
            if len(child.tokens) < size:
                break
            child.last_used = self._clock
            pages.append(child.page)
            node, start = child, start + size
        rest = tuple(tokens[start : start + size])
        tail, num_tail = None, 0
        for child in node.children.values():
            common = _common_prefix(child.tokens, rest)
            if common > num_tail:
                tail, num_tail = child, common
        if tail is not None:
            tail.last_used = self._clock
        return Match(tuple(pages), tail, num_tail)

    def insert(self, tokens: Sequence[int], pages: Sequence[int], *, writing: bool) -> None:
        """Indexes encoded `tokens` lying in `pages`. Pages new to the index gain a holder.

        With `writing`, the last page, if partial, stays reserved for the sequence that
        appends to it; without, the next sequence may.
        """
        self._clock += 1
        size = self._pool.page_size
        node = self._root
        for index, start in enumerate(range(0, len(tokens), size)):
            key = tuple(tokens[start : start + size])
            child = node.children.get(key)
            if child is None:
                child = self._add(node, key, pages[index])
            child.last_used = self._clock
            if child.page == pages[index]:
                child.writer = writing and len(key) < size
            node = child

    def _add(self, parent: Node, key: tuple[int, ...], page: int) -> Node:
        """A new child; a shorter partial page that it continues is replaced."""
        for old in list(parent.children.values()):
            if old.page == page or (
                not old.writer
                and len(old.tokens) < len(key)
                and key[: len(old.tokens)] == old.tokens
            ):
                self._remove(old)
        self._pool.hold(page)
        child = Node(page=page, tokens=key, parent=parent)
        parent.children[key] = child
        return child

    def evict(self, num_pages: int) -> int:
        """Frees up to `num_pages` pages that only the index holds, oldest leaves first.

        Returns how many were freed.
        """
        freed = 0
        while freed < num_pages:
            leaves = [node for node in self._nodes() if self._evictable(node)]
            if not leaves:
                break
            leaves.sort(key=lambda node: node.last_used)
            for node in leaves[: num_pages - freed]:
                self._remove(node)
                freed += 1
        return freed

    def num_evictable(self) -> int:
        """Pages that `evict` could free in the end: those whose whole subtree is unused."""

        def count(node: Node) -> tuple[int, bool]:
            total, idle = 0, True
            for child in node.children.values():
                child_total, child_idle = count(child)
                total += child_total
                idle = idle and child_idle
            idle = idle and (node is self._root or self._pool.holders(node.page) == 1)
            return (total + 1 if idle else total), idle

        total, idle = count(self._root)
        return total - 1 if idle else total

    def __len__(self) -> int:
        return sum(1 for _ in self._nodes())

    def _evictable(self, node: Node) -> bool:
        return not node.children and self._pool.holders(node.page) == 1

    def _remove(self, node: Node) -> None:
        assert node.parent is not None
        assert not node.children
        del node.parent.children[node.tokens]
        self._pool.release(node.page)

    def _nodes(self) -> Iterator[Node]:
        stack = list(self._root.children.values())
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())


def _common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count
