"""Short-lived paths from which a table can be fetched as a file, whatever its size."""

import asyncio
import io
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from jose import JWTError, jwt
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from amancay_engine.dummy import dummy_frame
from amancay_resolvers.context import Downloadable
from amancay_storage.client import Store

LIFETIME = timedelta(minutes=5)
ALGORITHM = "HS256"
AUDIENCE = "amancay:download"
PATH = "/download"
MEDIA_TYPES = {"CSV": "text/csv; charset=utf-8", "PARQUET": "application/vnd.apache.parquet"}


class Downloads:
    """Signs paths and serves them. A path is a bearer of its own: it names one table and ends after five minutes."""

    def __init__(self, secret: str | None) -> None:
        self._secret = secret or secrets.token_urlsafe(32)

    def sign(self, user: str, what: Downloadable) -> str:
        """The path for one table of one user."""
        claims = {"aud": AUDIENCE, "sub": user, "exp": datetime.now(UTC) + LIFETIME, "what": what}
        return f"{PATH}/{jwt.encode(claims, self._secret, ALGORITHM)}"

    async def serve(self, request: Request, store: Store) -> Response:
        """The file behind a path; 404 for every path that is not, or no longer, ours."""
        options = {"require_exp": True, "require_aud": True, "require_sub": True}
        try:
            claims = jwt.decode(request.path_params["token"], self._secret, [ALGORITHM], options, audience=AUDIENCE)
        except JWTError:
            return PlainTextResponse("There is no such file, or its path has expired. Ask for a new one.", 404)
        what = claims["what"]
        frame = await _frame(store, what)
        if frame is None:
            return PlainTextResponse("There is no such file.", 404)
        content = await asyncio.to_thread(_written, frame, what["format"])
        name = f"amancay.{what['format'].lower()}"
        headers = {"content-disposition": f'attachment; filename="{name}"', "x-content-type-options": "nosniff"}
        return Response(content, media_type=MEDIA_TYPES[what["format"]], headers=headers)


async def _frame(store: Store, what: dict[str, Any]) -> pl.DataFrame | None:
    if "execution" in what:
        result = await store.executions.result(what["execution"])
        return None if result is None else pl.read_ipc_stream(result.table)
    record = await store.datasets.version(what["dataset"], what["version"])
    if record is None:
        return None
    return await asyncio.to_thread(dummy_frame, record.metadata, rows=what["rows"], seed=what["seed"])


def _written(frame: pl.DataFrame, format: str) -> bytes:
    file = io.BytesIO()
    if format == "CSV":
        frame.write_csv(file)
    else:
        frame.write_parquet(file)
    return file.getvalue()
