"""Names of users and datasets. They are part of account ids, so nothing else may stand in them."""

import re

from amancay_storage.errors import BadName

MAX_NAME = 64
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


def check_name(name: str) -> str:
    """`name` itself.

    Raises:
        BadName: if it does not begin with a letter or digit, holds anything but letters, digits, `_`, `.` and
        `-`,
            or is longer than 64 characters.
    """
    if not NAME.fullmatch(name):
        raise BadName(f"A name has 1 to {MAX_NAME} letters, digits, _, . or -, and begins with a letter or digit.")
    return name
