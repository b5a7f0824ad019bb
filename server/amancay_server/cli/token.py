"""`amancay token`."""

from typing import Annotated

import typer

from amancay_server.cli.options import DEFAULT_DATA_DIR, DataDir, fail
from amancay_server.demo.issuer import Issuer
from amancay_server.demo.users import DEMO_USERS


def token(
    user: Annotated[str, typer.Argument(help="One of researcher, newcomer, auditor, admin.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Print a bearer token of the demo's issuer for USER, and nothing else.

    For the demo only: a real server believes your identity provider's tokens.
    """
    known = [demo_user.name for demo_user in DEMO_USERS]
    if user not in known:
        fail(f"The demo has no user {user!r}; it has {', '.join(known)}.")
    if not (data_dir / "issuer" / "key.pem").is_file():
        fail(f"There is no demo in {data_dir}: run `amancay demo --data-dir {data_dir}` first.")
    typer.echo(Issuer(data_dir).token(user))
