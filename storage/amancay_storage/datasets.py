"""What may be asked about: datasets, where they live, and what their owners declare of them."""

import json
from dataclasses import dataclass
from typing import Any

from amancay_engine.metadata import TableMetadata, dump_metadata, parse_metadata
from amancay_engine.query import Library
from amancay_engine.sources import Source, dump_source, parse_source
from amancay_storage.driver import Database, Document, guarded, insert_once
from amancay_storage.errors import Conflict
from amancay_storage.layout import ACCOUNTS, DATASET_VERSIONS, DATASETS
from amancay_storage.name import check_name
from amancay_storage.page import Page, after_name, check_first, name_cursor, page_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRecord:
    """One version of a dataset. It never changes: an execution is answered by the version it was asked of."""

    name: str
    description: str | None
    metadata: TableMetadata
    source: Source
    libraries: tuple[Library, ...]
    version: int


class Datasets:
    """The datasets of this server and their history.

    The current version stands in `datasets`. Before it is replaced, it is copied to `versions`, so that at
    any moment every version that ever was current can be read.
    """

    def __init__(self, database: Database) -> None:
        self._datasets = database[DATASETS]
        self._versions = database[DATASET_VERSIONS]
        self._accounts = database[ACCOUNTS]

    @guarded
    async def get(self, name: str) -> DatasetRecord | None:
        """The current version of the dataset of that name, or None."""
        document = await self._datasets.find_one({"_id": name})
        return None if document is None else _parse(document)

    @guarded
    async def version(self, name: str, version: int) -> DatasetRecord | None:
        """That version of the dataset, current or not, or None."""
        document = await self._datasets.find_one({"_id": name})
        if document is not None and document["version"] != version:
            document = await self._versions.find_one({"_id": f"{name}@{version}"})
        return None if document is None else _parse(document)

    @guarded
    async def register(
        self,
        name: str,
        *,
        description: str | None,
        metadata: TableMetadata,
        source: Source,
        libraries: tuple[Library, ...],
        actor: str,
    ) -> DatasetRecord:
        """Makes a dataset, at version 1.

        Raises:
            BadName: if it is not a name.
            Conflict: if there is a dataset of that name.
        """
        content = _content(description, metadata, source, libraries)
        fresh = {"_id": check_name(name), "name": name, **content, "version": 1, "actor": actor}
        if await insert_once(self._datasets, fresh, stamp="at") is not None:
            raise Conflict(f"There is a dataset {name!r} already.")
        return _parse(fresh)

    @guarded
    async def ensure(
        self,
        name: str,
        *,
        description: str | None,
        metadata: TableMetadata,
        source: Source,
        libraries: tuple[Library, ...],
        actor: str,
    ) -> DatasetRecord:
        """Makes the dataset, or a new version if anything differs; the same content changes nothing.

        Raises:
            BadName: if it is not a name.
            Conflict: if somebody else changes it at the same time.
        """
        content = _content(description, metadata, source, libraries)
        fresh = {"_id": check_name(name), "name": name, **content, "version": 1, "actor": actor}
        current = await insert_once(self._datasets, fresh, stamp="at")
        if current is None:
            return _parse(fresh)
        if all(current[key] == value for key, value in content.items()):
            return _parse(current)
        return await self._replace(current, {**content, "version": current["version"] + 1, "actor": actor})

    async def _replace(self, current: Document, change: Document) -> DatasetRecord:
        name, version = current["_id"], current["version"]
        await insert_once(self._versions, {**current, "_id": f"{name}@{version}"}, stamp="archived_at")
        replaced = await self._datasets.update_one(
            {"_id": name, "version": version}, {"$set": change, "$currentDate": {"at": True}}
        )
        if not replaced.matched_count:
            raise Conflict(f"The dataset {name!r} is being changed by somebody else.")
        return _parse({**current, **change})

    @guarded
    async def granted(self, user: str, first: int, after: str | None) -> Page[DatasetRecord]:
        """The datasets on which `user` has a grant, by name.

        Raises:
            LimitExceeded: if `first` is not within 0 to 100.
            BadCursor: if `after` is not a cursor of this list.
        """
        query: Document = {"kind": "grant", "user": user, "active": True}
        if after is not None:
            query["dataset"] = {"$gt": after_name(after)}
        accounts = self._accounts.find(query, {"dataset": True}).sort("dataset", 1)
        names = [account["dataset"] for account in await accounts.limit(check_first(first) + 1).to_list(None)]
        found = {document["_id"]: document async for document in self._datasets.find({"_id": {"$in": names}})}
        page = page_of([{"name": name} for name in names], first, after, parse=_name, cursor=_cursor)
        shown = [(name, cursor) for name, cursor in zip(page.items, page.cursors, strict=True) if name in found]
        return Page(
            items=tuple(_parse(found[name]) for name, _ in shown),
            cursors=tuple(cursor for _, cursor in shown),
            has_next=page.has_next,
            has_previous=page.has_previous,
        )

    @guarded
    async def all(self, first: int, after: str | None) -> Page[DatasetRecord]:
        """Every dataset, by name.

        Raises:
            LimitExceeded: if `first` is not within 0 to 100.
            BadCursor: if `after` is not a cursor of this list.
        """
        query = {} if after is None else {"_id": {"$gt": after_name(after)}}
        documents = await self._datasets.find(query).sort("_id", 1).limit(check_first(first) + 1).to_list(None)
        return page_of(documents, first, after, parse=_parse, cursor=_cursor)


def _content(
    description: str | None, metadata: TableMetadata, source: Source, libraries: tuple[Library, ...]
) -> dict[str, Any]:
    # As text: a category may be a larger integer than a document can hold, and the order of columns counts.
    return {
        "description": description,
        "metadata": json.dumps(dump_metadata(metadata)),
        "source": json.dumps(dump_source(source)),
        "libraries": sorted(library.value for library in set(libraries)),
    }


def _parse(document: Document) -> DatasetRecord:
    return DatasetRecord(
        name=document["name"],
        description=document["description"],
        metadata=parse_metadata(json.loads(document["metadata"])),
        source=parse_source(json.loads(document["source"])),
        libraries=tuple(Library(library) for library in document["libraries"]),
        version=document["version"],
    )


def _name(document: Document) -> str:
    return str(document["name"])


def _cursor(document: Document) -> str:
    return name_cursor(_name(document))
