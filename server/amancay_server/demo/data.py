"""The demo's datasets and grants. The tables are made once, and are the same on every machine."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from rich.progress import Progress

from amancay_engine.privacy import PrivacyLoss
from amancay_server.demo import income, penguins, visits

VERSION = "1"
"""Of the tables: raised when one of them changes, so that those made before are made anew."""
ROW_GROUP = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoDataset:
    """A table of the demo, with its owner's declaration and its cap over all users."""

    name: str
    description: str
    metadata: dict[str, Any]
    source_path: Path
    cap: PrivacyLoss


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoGrant:
    """What a user of the demo may spend on a dataset."""

    user: str
    dataset: str
    limit: PrivacyLoss


DEMO_GRANTS = (
    DemoGrant(user="researcher", dataset=penguins.NAME, limit=PrivacyLoss.limit_down(epsilon=10, delta=1e-4)),
    DemoGrant(user="researcher", dataset=income.NAME, limit=PrivacyLoss.limit_down(epsilon=45, delta=5e-3)),
    DemoGrant(user="researcher", dataset=visits.NAME, limit=PrivacyLoss.limit_down(epsilon=10, delta=1e-4)),
)


def demo_datasets(data_dir: Path) -> list[DemoDataset]:
    """The datasets whose tables `make_data(data_dir)` makes."""
    return [
        DemoDataset(
            name=table.NAME,
            description=table.DESCRIPTION,
            metadata=table.METADATA,
            source_path=_file(data_dir, table.NAME),
            cap=table.CAP,
        )
        for table in (penguins, income, visits)
    ]


def make_data(data_dir: Path, *, progress: bool = True) -> None:
    """Makes the tables that are not there yet, or are of another version, with a progress bar if wanted."""
    makers = {penguins.NAME: penguins.make, visits.NAME: visits.make, income.NAME: income.make}
    missing = [name for name in makers if not _is_made(data_dir, name)]
    with Progress(disable=not progress or not missing) as bar:
        task = bar.add_task("Making the demo data", total=len(missing))
        for name in missing:
            bar.update(task, description=f"Making the demo data: {name}")
            _make(data_dir, name, makers[name])
            bar.advance(task)


def _file(data_dir: Path, name: str) -> Path:
    return data_dir / "data" / f"{name}.parquet"


def _marker(data_dir: Path, name: str) -> Path:
    return data_dir / "data" / f"{name}.version"


def _is_made(data_dir: Path, name: str) -> bool:
    marker = _marker(data_dir, name)
    return _file(data_dir, name).is_file() and marker.is_file() and marker.read_text() == VERSION


def _make(data_dir: Path, name: str, make: Callable[[], pl.DataFrame]) -> None:
    """Writes a table beside its place and moves it there whole; the marker comes last."""
    file = _file(data_dir, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{name}.{os.getpid()}")
    try:
        make().write_parquet(unfinished, compression="zstd", row_group_size=ROW_GROUP)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
    _marker(data_dir, name).write_text(VERSION)
