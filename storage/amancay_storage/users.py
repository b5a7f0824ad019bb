"""Who may ask: users and their roles."""

from dataclasses import dataclass
from enum import StrEnum

from amancay_storage.driver import Database, Document, guarded, insert_once
from amancay_storage.errors import Conflict
from amancay_storage.layout import USERS
from amancay_storage.name import check_name


class Role(StrEnum):
    """What a user may do."""

    RESEARCHER = "RESEARCHER"
    AUDITOR = "AUDITOR"
    ADMIN = "ADMIN"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """A user as the store knows them; an inactive one may do nothing."""

    name: str
    email: str | None
    role: Role
    active: bool


class Users:
    """The users of this server."""

    def __init__(self, database: Database) -> None:
        self._users = database[USERS]

    @guarded
    async def get(self, name: str) -> UserRecord | None:
        """The user of that name, or None."""
        document = await self._users.find_one({"_id": name})
        return None if document is None else _parse(document)

    @guarded
    async def create(self, name: str, email: str | None, role: Role, actor: str) -> UserRecord:
        """Makes a user; `actor` is on record as who did.

        Raises:
            BadName: if it is not a name.
            Conflict: if there is a user of that name.
        """
        wanted = UserRecord(name=check_name(name), email=email, role=role, active=True)
        if await self._insert(wanted, actor) is not None:
            raise Conflict(f"There is a user {name!r} already.")
        return wanted

    @guarded
    async def ensure(self, name: str, email: str | None, role: Role, actor: str) -> UserRecord:
        """Makes the user, or changes email and role of the one that is there; active or not stays as it is.

        Raises:
            BadName: if it is not a name.
        """
        wanted = UserRecord(name=check_name(name), email=email, role=role, active=True)
        earlier = await self._insert(wanted, actor)
        if earlier is None:
            return wanted
        if (earlier["email"], earlier["role"]) != (email, role.value):
            await self._users.update_one({"_id": name}, {"$set": {"email": email, "role": role.value, "actor": actor}})
        return UserRecord(name=name, email=email, role=role, active=earlier["active"])

    async def _insert(self, user: UserRecord, actor: str) -> Document | None:
        document = {"_id": user.name, "email": user.email, "role": user.role.value, "active": user.active}
        return await insert_once(self._users, {**document, "actor": actor}, stamp="created_at")


def _parse(document: Document) -> UserRecord:
    return UserRecord(
        name=document["_id"], email=document["email"], role=Role(document["role"]), active=document["active"]
    )
