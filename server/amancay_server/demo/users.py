"""The demo's users."""

from dataclasses import dataclass

from amancay_storage.users import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoUser:
    """A user of the demo, known to its issuer by `name`."""

    name: str
    email: str
    role: Role


DEMO_USERS = (
    DemoUser(name="researcher", email="researcher@example.org", role=Role.RESEARCHER),
    DemoUser(name="newcomer", email="newcomer@example.org", role=Role.RESEARCHER),
    DemoUser(name="auditor", email="auditor@example.org", role=Role.AUDITOR),
    DemoUser(name="admin", email="admin@example.org", role=Role.ADMIN),
)
