"""Registers the demo's users, datasets, caps and grants; again changes nothing."""

from pathlib import Path

from amancay_engine.metadata import parse_metadata
from amancay_engine.query import Library
from amancay_engine.sources import FileFormat, FileSource
from amancay_server.demo.data import DEMO_GRANTS, demo_datasets
from amancay_server.demo.users import DEMO_USERS
from amancay_storage.client import Store

ACTOR = "demo"


async def set_up(url: str, database: str, data_dir: Path) -> None:
    """Makes the store ready and what the demo needs known to it."""
    async with Store.open(url, database) as store:
        await store.prepare()
        for user in DEMO_USERS:
            await store.users.ensure(user.name, user.email, user.role, ACTOR)
        for dataset in demo_datasets(data_dir):
            await store.datasets.ensure(
                dataset.name,
                description=dataset.description,
                metadata=parse_metadata(dataset.metadata),
                source=FileSource(path=str(dataset.source_path.resolve()), format=FileFormat.PARQUET),
                libraries=(Library.SMARTNOISE_SQL,),
                actor=ACTOR,
            )
            if await store.ledger.cap(dataset.name) is None:
                await store.ledger.set_cap(dataset.name, dataset.cap, actor=ACTOR)
        for grant in DEMO_GRANTS:
            if await store.ledger.grant(grant.user, grant.dataset) is None:
                await store.ledger.set_grant(grant.user, grant.dataset, grant.limit, actor=ACTOR)
