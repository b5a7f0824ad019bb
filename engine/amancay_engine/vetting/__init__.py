"""The allow-lists: what is not named here is refused, with its place, before anything is priced or read."""
