"""Collections, the validators that MongoDB itself enforces, and the indexes."""

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import OperationFailure

from amancay_storage.driver import NAMESPACE_EXISTS, Database, Document, insert_once
from amancay_storage.errors import Conflict

SCHEMA_VERSION = 1

ACCOUNTS = "accounts"
ENTRIES = "entries"
EXECUTIONS = "executions"
RESULTS = "results"
DATASETS = "datasets"
DATASET_VERSIONS = "dataset_versions"
USERS = "users"
META = "meta"

_AMOUNT = {
    "bsonType": "object",
    "required": ["epsilon_nano", "delta_atto"],
    "properties": {
        "epsilon_nano": {"bsonType": "long", "minimum": 0},
        "delta_atto": {"bsonType": "long", "minimum": 0},
    },
}


def _within_limit(part: str) -> Document:
    return {"$lte": [{"$add": [f"$spent.{part}", f"$reserved.{part}"]}, f"$limit.{part}"]}


def _shape(required: dict[str, Any]) -> Document:
    return {"$jsonSchema": {"bsonType": "object", "required": list(required), "properties": required}}


# A second wall behind the conditional updates: an overdrawn account cannot be written at all.
_ACCOUNT: Document = {
    **_shape(
        {
            "kind": {"enum": ["grant", "cap"]},
            "dataset": {"bsonType": "string"},
            "active": {"bsonType": "bool"},
            "limit": _AMOUNT,
            "spent": _AMOUNT,
            "reserved": _AMOUNT,
            "pending": {"bsonType": "array"},
        }
    ),
    "$expr": {"$and": [_within_limit("epsilon_nano"), _within_limit("delta_atto")]},
}
_ENTRY: Document = _shape(
    {
        "kind": {"enum": ["GRANT", "COMMIT", "VOID"]},
        "accounts": {"bsonType": "array", "minItems": 1},
        "loss": _AMOUNT,
        "actor": {"bsonType": "string"},
        "at": {"bsonType": "date"},
    }
)
_EXECUTION: Document = _shape(
    {
        "user": {"bsonType": "string"},
        "dataset": {"bsonType": "string"},
        "kind": {"enum": ["PRIVATE", "DUMMY"]},
        "status": {"enum": ["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]},
        "stage": {"enum": ["RESERVING", "DROPPED", "QUEUED", "RUNNING", "SETTLING", "ENDED"]},
        "cost": _AMOUNT,
        "charged": _AMOUNT,
        "submitted_at": {"bsonType": "date"},
    }
)
_RESULT: Document = _shape({"execution": {"bsonType": "string"}, "table": {"bsonType": "binData"}})

VALIDATORS: dict[str, Document] = {
    ACCOUNTS: _ACCOUNT,
    ENTRIES: _ENTRY,
    EXECUTIONS: _EXECUTION,
    RESULTS: _RESULT,
    DATASETS: _shape({"metadata": {"bsonType": "string"}, "version": {"bsonType": "int"}}),
    DATASET_VERSIONS: _shape({"metadata": {"bsonType": "string"}, "version": {"bsonType": "int"}}),
    USERS: _shape({"role": {"enum": ["RESEARCHER", "AUDITOR", "ADMIN"]}, "active": {"bsonType": "bool"}}),
    META: {},
}

_NEWEST = [("submitted_at", DESCENDING), ("_id", DESCENDING)]
INDEXES: dict[str, list[IndexModel]] = {
    ACCOUNTS: [
        IndexModel([("kind", ASCENDING), ("user", ASCENDING), ("active", ASCENDING), ("dataset", ASCENDING)]),
        IndexModel([("pending.at", ASCENDING)]),
    ],
    ENTRIES: [IndexModel([("accounts", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)])],
    EXECUTIONS: [
        IndexModel(
            [("user", ASCENDING), ("idempotency_key", ASCENDING)],
            unique=True,
            partialFilterExpression={"idempotency_key": {"$type": "string"}},
        ),
        IndexModel([("stage", ASCENDING), ("submitted_at", ASCENDING)]),
        IndexModel([("user", ASCENDING), ("stage", ASCENDING)]),
        IndexModel([("user", ASCENDING), *_NEWEST]),
        IndexModel([("dataset", ASCENDING), *_NEWEST]),
        IndexModel(_NEWEST),
    ],
    RESULTS: [IndexModel([("execution", ASCENDING)])],
}


async def apply_layout(database: Database) -> None:
    """Makes collections, validators and indexes as this version wants them.

    Raises:
        Conflict: if a newer version of the software has already prepared this database.
    """
    meta = await database[META].find_one({"_id": "schema"})
    if meta is not None and meta["version"] > SCHEMA_VERSION:
        raise Conflict(f"This database has schema {meta['version']}; this software knows up to {SCHEMA_VERSION}.")
    for name, validator in VALIDATORS.items():
        await _validated(database, name, validator)
    for name, indexes in INDEXES.items():
        await database[name].create_indexes(indexes)
    await insert_once(database[META], {"_id": "schema", "version": SCHEMA_VERSION}, stamp="at")


async def _validated(database: Database, name: str, validator: Document) -> None:
    try:
        await database.create_collection(name, check_exists=False, validator=validator)
    except OperationFailure as error:
        if error.code != NAMESPACE_EXISTS:
            raise
        await database.command("collMod", name, validator=validator)
