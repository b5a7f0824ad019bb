"""Who is asking, and whom: the user behind the token, and the server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from amancay_client.budget import Budget
from amancay_client.display import Grid, Shown, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A user's budget on one dataset."""

    dataset: str
    budget: Budget


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class User(Shown):
    """The user behind the token; `role` is RESEARCHER, AUDITOR or ADMIN."""

    name: str
    email: str | None
    role: str
    active: bool
    grants: tuple[Grant, ...]

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Self:
        """From the server's `User`."""
        edges = (edge["node"] for edge in answer["grants"]["edges"])
        grants = tuple(Grant(dataset=node["dataset"], budget=Budget.parse(node["budget"])) for node in edges)
        facts = {name: answer[name] for name in ("name", "email", "role", "active")}
        return cls(**facts, grants=grants)

    def _grid(self) -> Grid:
        rows = tuple(
            (grant.dataset, number(grant.budget.remaining.epsilon), number(grant.budget.remaining.delta))
            for grant in self.grants
        )
        state = "" if self.active else ", not active"
        return Grid(
            title=f"{self.name} ({self.role}{state})",
            headers=("dataset", "epsilon left", "delta left"),
            rows=rows,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryVersion:
    """A differential privacy library that the server runs queries with."""

    library: str
    version: str
    available: bool


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Server(Shown):
    """The server's version, its libraries, and its limits by name."""

    version: str
    libraries: tuple[LibraryVersion, ...]
    limits: dict[str, int]

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Self:
        """From the server's `Server`."""
        libraries = tuple(LibraryVersion(**each) for each in answer["libraries"])
        return cls(version=answer["version"], libraries=libraries, limits=dict(answer["limits"]))

    def _grid(self) -> Grid:
        libraries = tuple(
            (each.library, each.version if each.available else "not available") for each in self.libraries
        )
        limits = tuple((name, str(limit)) for name, limit in self.limits.items())
        return Grid(title=f"Amancay server {self.version}", rows=(*libraries, *limits))
