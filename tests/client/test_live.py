"""The client against a running server with the demo's data, over good and bad networks."""

import json
import logging
import runpy
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

import amancay_client as amancay
from amancay_client.display import moment
from amancay_client.execution import ExecutionRecord

SPECIES = "SELECT species, COUNT(*) AS n FROM df GROUP BY species"
COUNT = "SELECT COUNT(*) AS n FROM df"
EPSILON = 0.05
PATIENCE = 60.0
EXAMPLES = Path(__file__).parents[2] / "examples"

if TYPE_CHECKING:
    from tests.client.conftest import DemoServer, Line


@pytest.fixture
def session(demo_server: "DemoServer") -> Iterator[amancay.Session]:
    """A researcher's session."""
    with amancay.connect(demo_server.url, demo_server.token("researcher")) as opened:
        yield opened


@pytest.fixture
def penguins(session: amancay.Session) -> amancay.Dataset:
    return session.dataset("penguins")


@pytest.fixture
def distant(line: "Line", demo_server: "DemoServer") -> Iterator[amancay.Dataset]:
    """The same dataset over a line that can fail."""
    with amancay.connect(line.url, demo_server.token("researcher")) as opened:
        yield opened.dataset("penguins")


def spent(dataset: amancay.Dataset) -> float:
    budget = dataset.budget
    assert budget is not None
    assert budget.reserved.epsilon == 0
    return budget.spent.epsilon


def test_the_session_knows_who_and_where(session: amancay.Session, demo_server: "DemoServer") -> None:
    assert "researcher (RESEARCHER)" in repr(session)
    assert demo_server.token("researcher") not in repr(session)
    assert {grant.dataset for grant in session.me.grants} == {"penguins", "income", "visits"}
    assert session.server.limits["maxDummyRows"] > 0
    assert [each.library for each in session.server.libraries if each.available] == ["SMARTNOISE_SQL"]


def test_datasets_and_their_metadata(session: amancay.Session) -> None:
    assert {dataset.name for dataset in session.datasets()} == {"penguins", "income", "visits"}
    columns = {column.name: column for column in session.dataset("penguins").metadata}
    assert columns["species"].type == "string"
    assert columns["species"].categories == ("Adelie", "Chinstrap", "Gentoo")
    assert session.dataset("visits").privacy_unit.column == "person_id"


def test_a_dataset_without_a_grant_is_not_there(demo_server: "DemoServer") -> None:
    with amancay.connect(demo_server.url, demo_server.token("newcomer")) as newcomer:
        assert list(newcomer.datasets()) == []
        with pytest.raises(amancay.NotFound):
            newcomer.dataset("penguins")


def test_a_wrong_token_is_refused_and_not_repeated(demo_server: "DemoServer") -> None:
    with pytest.raises(amancay.Unauthenticated) as caught:
        amancay.connect(demo_server.url, "wrong-token")
    assert "wrong-token" not in str(caught.value)


def test_an_answer_costs_what_the_estimate_said(penguins: amancay.Dataset) -> None:
    query = penguins.sql(SPECIES, epsilon=EPSILON)
    estimate = query.estimate()
    before = spent(penguins)
    execution = query.run(progress=False, timeout=PATIENCE)
    assert execution.status is amancay.ExecutionStatus.SUCCEEDED
    assert execution.charged == execution.cost == estimate.cost
    assert execution.accuracy == estimate.accuracy
    assert spent(penguins) == pytest.approx(before + estimate.cost.epsilon)
    frame = execution.to_polars()
    assert set(frame["species"]) == {"Adelie", "Chinstrap", "Gentoo"}
    assert list(execution.to_pandas()["n"]) == [row["n"] for row in execution.rows]


def test_a_rehearsal_is_free(penguins: amancay.Dataset) -> None:
    before = spent(penguins)
    execution = penguins.sql(SPECIES, epsilon=EPSILON).dummy(progress=False, timeout=PATIENCE)
    assert execution.kind == "DUMMY"
    assert len(execution.result) > 0
    assert execution.charged == amancay.PrivacyLoss(epsilon=0.0, delta=0.0)
    assert spent(penguins) == before


def test_dummy_rows_have_the_declared_columns(penguins: amancay.Dataset) -> None:
    table = penguins.dummy(rows=7, seed=1)
    assert len(table) == 7
    assert table.columns == tuple(column.name for column in penguins.metadata)
    assert table.to_polars().equals(penguins.dummy(rows=7, seed=1).to_polars())


def test_the_archive(session: amancay.Session, penguins: amancay.Dataset) -> None:
    execution = penguins.sql(COUNT, epsilon=EPSILON).run(progress=False, timeout=PATIENCE)
    again = session.execution(execution.id)
    assert again.rows == execution.rows
    assert moment(again.submitted_at) == moment(execution.submitted_at)
    assert execution.id in {each.id for each in penguins.executions(status="SUCCEEDED", kind="PRIVATE")}
    assert [each.id for each in session.executions(limit=1)] == [execution.id]
    assert execution.cancel().status is amancay.ExecutionStatus.SUCCEEDED


def test_a_cancelled_execution_has_no_result(penguins: amancay.Dataset) -> None:
    execution = penguins.sql(COUNT, epsilon=EPSILON).run(wait=False).cancel().wait(progress=False, timeout=PATIENCE)
    assert execution.status is amancay.ExecutionStatus.CANCELLED
    with pytest.raises(amancay.ExecutionCancelled):
        _ = execution.result


def test_refusals_cost_nothing(penguins: amancay.Dataset, session: amancay.Session) -> None:
    before = spent(penguins)
    with pytest.raises(amancay.InvalidQuery) as invalid:
        penguins.sql("SELECT MIN(bill_length_mm) AS n FROM df", epsilon=EPSILON).run()
    assert invalid.value.path
    with pytest.raises(amancay.BudgetExceeded) as exceeded:
        penguins.sql(COUNT, epsilon=1000).run()
    assert exceeded.value.requested.epsilon >= 1000 > exceeded.value.remaining.epsilon
    with pytest.raises(amancay.NotFound):
        session.execution("no-such-execution")
    with pytest.raises(amancay.Refused, match="dummy rows"):
        penguins.dummy(rows=-1)
    assert spent(penguins) == before


def test_a_key_is_charged_once(penguins: amancay.Dataset) -> None:
    key = str(uuid.uuid4())
    before = spent(penguins)
    query = penguins.sql(COUNT, epsilon=EPSILON)
    first, second = (query.run(progress=False, idempotency_key=key, timeout=PATIENCE) for _ in range(2))
    with pytest.raises(amancay.Conflict):
        penguins.sql(COUNT, epsilon=2 * EPSILON).run(progress=False, idempotency_key=key)
    assert first.id == second.id
    assert first.rows == second.rows
    assert spent(penguins) == pytest.approx(before + first.charged.epsilon)


def test_a_lost_answer_is_charged_once(line: "Line", distant: amancay.Dataset) -> None:
    """Goal: a retried request is one execution. Method: the line drops the first two answers to the mutation."""
    before = spent(distant)
    line.lost_answers = 2
    execution = distant.sql(COUNT, epsilon=EPSILON).run(progress=False, timeout=PATIENCE)
    assert line.lost_answers == 0
    assert spent(distant) == pytest.approx(before + execution.charged.epsilon)


def test_a_busy_gateway_is_asked_again(line: "Line", distant: amancay.Dataset) -> None:
    line.gateway_errors = 2
    assert distant.budget is not None
    assert line.gateway_errors == 0


def test_without_a_socket_it_polls(line: "Line", distant: amancay.Dataset) -> None:
    line.refuses_sockets = True
    before = spent(distant)
    execution = distant.sql(COUNT, epsilon=EPSILON).run(progress=False, timeout=PATIENCE)
    assert len(execution.rows) == 1
    assert spent(distant) == pytest.approx(before + execution.charged.epsilon)


def test_a_broken_socket_is_survived(line: "Line", demo_server: "DemoServer") -> None:
    """Goal: nothing is lost with the socket. Method: cut it whenever something came through it."""

    async def follow() -> list[int]:
        revisions: list[int] = []

        def cut(record: ExecutionRecord) -> None:
            revisions.append(record.revision)
            line.cut_sockets()

        async with amancay.AsyncClient(line.url, demo_server.token("researcher")) as session:
            dataset = await session.dataset("penguins")
            execution = await dataset.sql(COUNT, epsilon=EPSILON).run(wait=False)
            await execution.follow(cut, PATIENCE)
            assert len(await execution.result()) == 1
        return revisions

    revisions = anyio.run(follow)
    assert revisions == sorted(set(revisions))


def test_a_silent_socket_is_given_up(penguins: amancay.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a socket that is open and dead delays nothing for ever. Method: no patience with silence."""
    monkeypatch.setattr("amancay_client.watch.QUIET_SECONDS", 0.01)
    assert len(penguins.sql(COUNT, epsilon=EPSILON).run(progress=False, timeout=PATIENCE).rows) == 1


def test_a_short_wait_leaves_the_execution_alone(session: amancay.Session, penguins: amancay.Dataset) -> None:
    with pytest.raises(amancay.StillRunning) as caught:
        penguins.sql(COUNT, epsilon=EPSILON).run(progress=False, timeout=0.001)
    assert isinstance(caught.value.execution, amancay.Execution)
    assert len(session.execution(caught.value.execution.id).result) == 1


def test_an_interrupt_leaves_the_execution_alone(penguins: amancay.Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: Ctrl-C cancels and charges nothing by itself. Method: a real signal during `run`, then the same key."""
    key = str(uuid.uuid4())
    query = penguins.sql(COUNT, epsilon=EPSILON)
    before = spent(penguins)
    usual = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            query.run(progress=False, idempotency_key=key)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)
    told = capsys.readouterr().err
    assert "session.execution(" in told or f"run(idempotency_key={key!r})" in told
    execution = query.run(progress=False, idempotency_key=key, timeout=PATIENCE)
    assert spent(penguins) == pytest.approx(before + execution.charged.epsilon)


def test_threads_share_a_session(penguins: amancay.Dataset) -> None:
    lengths: list[int] = []

    def rehearse(seed: int) -> None:
        lengths.append(len(penguins.sql(COUNT, epsilon=1).dummy(seed=seed, progress=False, timeout=PATIENCE).result))

    threads = [threading.Thread(target=rehearse, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == [1, 1, 1, 1]


def test_the_examples_run(demo_server: "DemoServer", monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a newcomer's first file works, and the notebook is the same. Method: run both, without their pictures."""
    monkeypatch.setenv("AMANCAY_URL", demo_server.url)
    monkeypatch.setenv("AMANCAY_TOKEN", demo_server.token("researcher"))
    runpy.run_path(str(EXAMPLES / "first_questions.py"), run_name="__main__")
    notebook = json.loads((EXAMPLES / "first_questions.ipynb").read_text(encoding="utf-8"))
    cells = ("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    names: dict[str, object] = {}
    for cell in cells:
        exec(cell, names)
    assert isinstance(names["execution"], amancay.Execution)


def test_the_token_is_in_no_log(demo_server: "DemoServer", caplog: pytest.LogCaptureFixture) -> None:
    """Goal: a notebook that logs at DEBUG can be shared. Method: capture every logger during a whole run."""
    token = demo_server.token("researcher")
    with (
        caplog.at_level(logging.DEBUG),
        amancay.connect(demo_server.url, token) as session,
    ):
        session.dataset("penguins").sql(COUNT, epsilon=1).dummy(progress=False, timeout=PATIENCE)
    assert "FollowExecution" in caplog.text
    assert token not in caplog.text
