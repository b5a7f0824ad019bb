"""The ASGI application, and everything that runs beside it in one server process."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from strawberry.schema.config import StrawberryConfig

from amancay_resolvers import roots
from amancay_resolvers.context import Context, PublicLimits
from amancay_resolvers.loaders import budget_loader
from amancay_schema.errors import Unauthenticated
from amancay_schema.scalars import SCALARS
from amancay_server.download import PATH as DOWNLOAD_PATH
from amancay_server.download import Downloads
from amancay_server.graphql import GraphQLView, Schema, build_schema
from amancay_server.identity import Claims, Verifier
from amancay_server.limits import BodyLimit, Limits
from amancay_server.live import Hub
from amancay_server.serving import GRAPHQL_PATH
from amancay_server.settings import Settings, WorkerSettings
from amancay_storage.client import Store
from amancay_storage.errors import StoreUnavailable
from amancay_worker.limits import Limits as RunLimits
from amancay_worker.loop import Worker, sweep_forever
from amancay_worker.supervisor import Supervisor

VERSION = version("amancay")
RESTART_SECONDS = 1.0
WARM = "amancay_engine.warm"
"""Loaded once by the process that queries' processes are forked from."""

log = logging.getLogger("amancay")


def make_schema(limits: Limits | None = None) -> Schema:
    """The GraphQL schema over the resolvers' roots."""
    return build_schema(
        roots.Query,
        roots.Mutation,
        roots.Subscription,
        limits=limits,
        types=roots.CONCRETE_TYPES,
        config=StrawberryConfig(scalar_map=SCALARS),
    )


class Process:
    """One server process: the store's connection, the live hub, and the embedded worker if it has slots."""

    def __init__(self, settings: Settings, mongo_url: str) -> None:
        self._settings = settings
        self._mongo_url = mongo_url
        self._downloads = Downloads(settings.download_secret.get_secret_value() if settings.download_secret else None)
        self._verifier = Verifier(settings.identity)
        self._hub = Hub()
        self._store: Store | None = None
        self._worker: Worker | None = None

    @property
    def store(self) -> Store:
        """The open store.

        Raises:
            StoreUnavailable: before the process has started and after it has ended.
        """
        if self._store is None:
            raise StoreUnavailable("the server is not running")
        return self._store

    def app(self) -> Starlette:
        """The application; its lifespan starts and ends everything else."""
        settings = self._settings
        view = GraphQLView(
            make_schema(settings.limits),
            verifier=self._verifier,
            make_context=self.context,
            limits=settings.limits,
            allowed_origins=settings.allowed_origins,
        )
        return Starlette(
            routes=[
                Route(GRAPHQL_PATH, view),
                WebSocketRoute(GRAPHQL_PATH, view),
                Route(DOWNLOAD_PATH + "/{token}", self.download),
                Route("/healthz", self.healthy),
                Route("/readyz", self.ready),
            ],
            middleware=[Middleware(BodyLimit, max_bytes=settings.limits.max_body_bytes)],
            lifespan=self.lifespan,
        )

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Opens the store, then runs hub, sweeper and worker until the server ends."""
        stop = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            self._store = await stack.enter_async_context(Store.open(self._mongo_url, self._settings.database))
            stack.callback(self._forget)
            await self._store.prepare()
            tasks = [
                self._keep(lambda: self._hub.run(self.store, stop), stop),
                self._keep(lambda: sweep_forever(self.store, stop, self._settings.workers.sweep_seconds), stop),
            ]
            if self._settings.workers.slots:
                worker = await self._hire(stack)
                tasks.append(self._keep(lambda: worker.run(stop), stop))
            running = [asyncio.create_task(task) for task in tasks]
            try:
                yield
            finally:
                stop.set()
                await asyncio.gather(*running, return_exceptions=True)

    async def _hire(self, stack: contextlib.AsyncExitStack) -> Worker:
        settings = self._settings.workers
        supervisor = await stack.enter_async_context(
            Supervisor(preload=(WARM,), limits=_run_limits(settings), spares=settings.slots)
        )
        self._worker = Worker(
            self.store,
            supervisor,
            name=f"{socket.gethostname()}:{os.getpid()}",
            slots=settings.slots,
            lease_seconds=settings.lease_seconds,
            release_grid_seconds=settings.release_grid_seconds,
        )
        return self._worker

    def _forget(self) -> None:
        self._store = self._worker = None

    async def _keep(self, part: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        """Runs a part again if it breaks: a server without one of them would look well and do nothing."""
        while not stop.is_set():
            try:
                await part()
            except Exception as error:
                log.error("a part of the server broke and is started again: %s", type(error).__name__)  # noqa: TRY400
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RESTART_SECONDS):
                        await stop.wait()

    async def context(self, claims: Claims) -> Context:
        """The resolvers' context for the user behind a token.

        Raises:
            Unauthenticated: if there is no such user, or an inactive one.
        """
        user = await self.store.users.get(claims.subject)
        if user is None or not user.active:
            raise Unauthenticated
        limits = self._settings.limits
        return Context(
            user=user,
            store=self.store,
            live=self._hub,
            budgets=budget_loader(self.store.ledger, user.name),
            version=VERSION,
            limits=PublicLimits(
                max_depth=limits.max_depth,
                max_tokens=limits.max_tokens,
                max_aliases=limits.max_aliases,
                max_execution_seconds=int(self._settings.workers.query_timeout_seconds),
            ),
            wake_worker=self._wake,
            sign_download=self._downloads.sign,
        )

    def _wake(self) -> None:
        if self._worker is not None:
            self._worker.notify()

    async def download(self, request: Request) -> Response:
        """A table as a file."""
        try:
            return await self._downloads.serve(request, self.store)
        except StoreUnavailable:
            return PlainTextResponse("The server cannot reach its store right now. Try again.", 503)

    async def healthy(self, _request: Request) -> Response:
        """The process answers."""
        return PlainTextResponse("ok")

    async def ready(self, _request: Request) -> Response:
        """The process answers and can reach its store."""
        try:
            await self.store.ping()
        except StoreUnavailable:
            return PlainTextResponse("the store cannot be reached", 503)
        return PlainTextResponse("ready")


def _run_limits(settings: WorkerSettings) -> RunLimits:
    return RunLimits(
        memory_bytes=settings.query_memory_bytes,
        wall_seconds=settings.query_timeout_seconds,
        cpu_seconds=int(settings.query_timeout_seconds * 4) + 1,
    )
