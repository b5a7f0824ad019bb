"""Pages of the store as Relay's page info."""

from typing import Any

from amancay_schema.pagination import PageInfo
from amancay_storage.page import Page


def page_info(page: Page[Any]) -> PageInfo:
    """Where a page stands."""
    return PageInfo(
        has_next_page=page.has_next,
        has_previous_page=page.has_previous,
        start_cursor=page.cursors[0] if page.cursors else None,
        end_cursor=page.cursors[-1] if page.cursors else None,
    )


NO_PAGE = PageInfo(has_next_page=False, has_previous_page=False, start_cursor=None, end_cursor=None)
"""Of an empty list."""
