"""Users: made once, changed on purpose."""

import pytest

from amancay_storage.client import Store
from amancay_storage.errors import BadName, Conflict
from amancay_storage.users import Role, UserRecord

pytestmark = pytest.mark.anyio

ANA = UserRecord(name="ana", email="ana@example.org", role=Role.RESEARCHER, active=True)


async def test_a_user_is_made_once(store: Store) -> None:
    """Goal: no user replaces another. Method: create twice."""
    assert await store.users.get("ana") is None
    assert await store.users.create("ana", "ana@example.org", Role.RESEARCHER, actor="admin") == ANA
    with pytest.raises(Conflict):
        await store.users.create("ana", None, Role.ADMIN, actor="admin")
    assert await store.users.get("ana") == ANA


async def test_ensure_makes_or_changes(store: Store) -> None:
    """Goal: an import may be repeated. Method: the same twice, then another role."""
    for _ in range(2):
        assert await store.users.ensure("ana", "ana@example.org", Role.RESEARCHER, actor="admin") == ANA
    changed = await store.users.ensure("ana", "ana@example.org", Role.AUDITOR, actor="admin")
    assert changed.role is Role.AUDITOR
    assert await store.users.get("ana") == changed


@pytest.mark.parametrize("name", ["", ".ana", "a:b", "a b", "$ana", "á", "a" * 65, "ana\n"])
async def test_bad_names_are_refused(store: Store, name: str) -> None:
    """Goal: a name can stand in an account's id. Method: what may not be in one."""
    with pytest.raises(BadName):
        await store.users.create(name, None, Role.RESEARCHER, actor="admin")
    assert await store.users.get(name) is None


async def test_the_longest_name_is_accepted(store: Store) -> None:
    """Goal: the bound is where it says. Method: 64 characters."""
    assert (await store.users.create("a" * 64, None, Role.ADMIN, actor="admin")).name == "a" * 64
