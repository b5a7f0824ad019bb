"""Datasets: versions never change, and a user sees what was granted."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from amancay_engine.metadata import TableMetadata, parse_metadata
from amancay_engine.query import Library
from amancay_engine.sources import FileFormat, FileSource
from amancay_storage.client import Store
from amancay_storage.datasets import DatasetRecord
from amancay_storage.errors import BadCursor, BadName, Conflict
from tests.storage.scene import LIMIT, METADATA

pytestmark = pytest.mark.anyio
SOURCE = FileSource(path="/data/census.csv", format=FileFormat.CSV)
BIG: TableMetadata = parse_metadata(
    {
        "columns": {
            "z": {"type": "integer", "categories": [10**30]},
            "a": {"type": "string", "categories": ["$a", "b.c", "é"]},
        }
    }
)


def content(metadata: TableMetadata = METADATA, description: str | None = "Persons") -> Mapping[str, Any]:
    return {
        "description": description,
        "metadata": metadata,
        "source": SOURCE,
        "libraries": (Library.SMARTNOISE_SQL,),
        "actor": "admin",
    }


async def test_a_dataset_is_registered_once(store: Store) -> None:
    """Goal: it comes back as it was declared, and nobody replaces it. Method: register twice."""
    assert await store.datasets.get("census") is None
    record = await store.datasets.register("census", **content(BIG))
    assert record == DatasetRecord(
        name="census",
        description="Persons",
        metadata=BIG,
        source=SOURCE,
        libraries=(Library.SMARTNOISE_SQL,),
        version=1,
    )
    with pytest.raises(Conflict):
        await store.datasets.register("census", **content())
    assert await store.datasets.get("census") == record
    assert list(record.metadata.columns) == ["z", "a"]
    with pytest.raises(BadName):
        await store.datasets.register("cen:sus", **content())


async def test_other_content_is_a_new_version(store: Store) -> None:
    """Goal: executions keep the version they were asked of. Method: ensure the same, then others; read all."""
    first = await store.datasets.ensure("census", **content())
    assert await store.datasets.ensure("census", **content()) == first
    second = await store.datasets.ensure("census", **content(BIG))
    third = await store.datasets.ensure("census", **content(BIG, "Households"))
    assert [record.version for record in (first, second, third)] == [1, 2, 3]
    for record in (first, second, third):
        assert await store.datasets.version("census", record.version) == record
    assert await store.datasets.get("census") == third
    assert await store.datasets.version("census", 4) is None
    assert await store.datasets.version("nothing", 1) is None


async def test_racing_changes_lose_no_version(store: Store) -> None:
    """Goal: two administrators at once. Method: one wins, the others are told; every version can be read."""
    await store.datasets.ensure("census", **content())
    outcomes = await asyncio.gather(
        *(store.datasets.ensure("census", **content(description=str(number))) for number in range(5)),
        return_exceptions=True,
    )
    made = [outcome for outcome in outcomes if isinstance(outcome, DatasetRecord)]
    assert made
    assert {type(outcome) for outcome in outcomes} <= {DatasetRecord, Conflict}
    assert sorted(record.version for record in made) == list(range(2, 2 + len(made)))
    for record in made:
        assert await store.datasets.version("census", record.version) == record


async def test_only_granted_datasets_are_listed(store: Store) -> None:
    """Goal: what is not granted looks as if it did not exist. Method: four datasets, three granted, pages of two."""
    for name in ("d", "c", "b", "a"):
        await store.datasets.ensure(name, **content())
        if name != "b":
            await store.ledger.set_grant("ana", name, LIMIT, actor="admin")
    await store.ledger.set_grant("bea", "b", LIMIT, actor="admin")
    first = await store.datasets.granted("ana", 2, None)
    rest = await store.datasets.granted("ana", 2, first.cursors[-1])
    assert [record.name for record in (*first.items, *rest.items)] == ["a", "c", "d"]
    assert (first.has_next, rest.has_next, first.has_previous, rest.has_previous) == (True, False, False, True)
    everything = await store.datasets.all(3, None)
    assert [record.name for record in everything.items] == ["a", "b", "c"]
    assert [record.name for record in (await store.datasets.all(3, everything.cursors[-1])).items] == ["d"]
    with pytest.raises(BadCursor):
        await store.datasets.all(3, "nonsense")
