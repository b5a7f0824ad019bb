"""What a run gives, and what is known about it before any data is read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """One draw of noise behind a privacy loss; kept with the ledger so that a tighter accountant can be added later."""

    kind: str
    """`laplace` or `gaussian`."""
    column: str
    """The released quantity that it protects."""
    scale: float
    """Noise scale in the column's units: Laplace's b, the Gaussian's standard deviation."""
    sensitivity: float
    """How far one row can move the exact value, in the column's units."""
    epsilon: float
    delta: float
    rho: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How far the noise will be from zero: within `margin95` with probability 0.95."""

    column: str
    mechanism: str
    scale: float
    margin95: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The published noisy answer: an Arrow IPC stream and its shape."""

    table: bytes
    row_count: int
    columns: tuple[tuple[str, str], ...]
    """Name and Arrow type of each column, in order."""
