"""Pages of lists, as connections with cursors.

Source: the GraphQL Cursor Connections Specification (Relay).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict


class Edge(TypedDict):
    """One entry of a page."""

    cursor: str
    node: object


class PageInfo(TypedDict):
    """Where the next page begins."""

    has_next_page: bool
    end_cursor: str | None


class Connection(TypedDict):
    """One page of a list."""

    total_count: int
    edges: list[Edge]
    page_info: PageInfo


def connection(n_total: int, edges: Sequence[tuple[str, object]], has_next: bool) -> Connection:
    """Return one page of a list.

    Args:
        n_total: entries of the whole list.
        edges: (cursor, node) of this page.
        has_next: whether there are more behind it.
    """
    return {
        "total_count": n_total,
        "edges": [{"cursor": cursor, "node": node} for cursor, node in edges],
        "page_info": {"has_next_page": has_next, "end_cursor": edges[-1][0] if edges else None},
    }
