"""The life of executions: submitted once, claimed by one, charged before shown."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from amancay_engine.release import Release
from amancay_storage import executions as module
from amancay_storage.client import Store
from amancay_storage.errors import BadCursor, BudgetExceeded, Conflict, LimitExceeded, NotFound, StoreUnavailable
from amancay_storage.execution import (
    MAX_ATTEMPTS,
    MAX_KEY,
    ExecutionFilter,
    ExecutionRecord,
    Kind,
    Outcome,
    Status,
    StoredResult,
)
from amancay_storage.ledger import EntryKind
from amancay_storage.sweeper import sweep
from tests.storage.scene import (
    ACCURACY,
    DONE,
    FAILED,
    LEASE,
    MECHANISM,
    NOTHING,
    RELEASE,
    TENTH,
    assert_balance,
    grant,
    opened,
    queued,
    running,
    sealed,
    submission,
)

pytestmark = pytest.mark.anyio
EVERYTHING = ExecutionFilter()


async def test_a_run_is_charged_and_then_shown(store: Store) -> None:
    """Goal: the whole life, as the world sees it. Method: one step after the other; the revision grows with each."""
    await grant(store)
    waiting = await queued(store)
    assert (waiting.status, waiting.revision, waiting.cost, waiting.charged) == (Status.QUEUED, 1, TENTH, NOTHING)
    assert waiting.submitted_at - datetime.now(UTC) < timedelta(seconds=5)
    await assert_balance(store, reserved=1)
    claimed = await store.executions.claim("worker", LEASE)
    assert claimed is not None
    assert (claimed.id, claimed.status, claimed.attempt, claimed.revision) == (waiting.id, Status.RUNNING, 1, 2)
    assert claimed.query == waiting.query
    assert await store.executions.mark_opened(claimed.id, 1, (ACCURACY,), (MECHANISM,))
    assert await store.executions.report(claimed.id, 1, 0.5, "Reading the data")
    half = await store.executions.get(claimed.id)
    assert half is not None
    assert (half.fraction, half.stage_text, half.revision, half.accuracy) == (0.5, "Reading the data", 4, (ACCURACY,))
    assert await store.executions.seal(claimed.id, 1, DONE, RELEASE)
    assert await store.executions.get(claimed.id) == half
    assert await store.executions.result(claimed.id) is None
    shown = await store.executions.settle(claimed.id)
    assert (shown.status, shown.charged, shown.has_result, shown.fraction) == (Status.SUCCEEDED, TENTH, True, 1.0)
    assert shown.finished_at is not None
    assert await store.executions.result(claimed.id) == StoredResult(
        table=RELEASE.table, columns=RELEASE.columns, row_count=3
    )
    assert await store.executions.settle(claimed.id) == shown
    await assert_balance(store, spent=1)
    entry = (await store.ledger.entries("ana", "census", 1, None)).items[0]
    assert (entry.kind, entry.execution, entry.loss, entry.actor) == (EntryKind.COMMIT, shown.id, TENTH, "ana")


async def test_forty_submissions_race_for_ten(store: Store) -> None:
    """Goal: the budget admits ten. Method: 40 at once; what was refused is nowhere to be seen."""
    await grant(store)
    outcomes = await asyncio.gather(*(store.executions.submit(submission()) for _ in range(40)), return_exceptions=True)
    assert sum(isinstance(outcome, BudgetExceeded) for outcome in outcomes) == 30
    assert len((await store.executions.page(EVERYTHING, 100, None)).items) == 10
    await assert_balance(store, reserved=10)


async def test_a_failure_after_opening_is_charged_and_before_is_not(store: Store) -> None:
    """Goal: who read pays. Method: fail before opening, then after."""
    await grant(store)
    unread = await running(store)
    assert await store.executions.seal(unread.id, 1, FAILED, None)
    assert (await store.executions.settle(unread.id)).charged == NOTHING
    read = await opened(store)
    assert await store.executions.seal(read.id, 1, FAILED, None)
    ended = await store.executions.settle(read.id)
    assert (ended.status, ended.code, ended.charged, ended.has_result) == (Status.FAILED, "LIBRARY_ERROR", TENTH, False)
    await assert_balance(store, spent=1)


async def test_a_dummy_run_costs_nothing_and_needs_no_budget(store: Store) -> None:
    """Goal: dummy runs never touch the ledger. Method: a whole life without any account."""
    claimed = await running(store, kind=Kind.DUMMY)
    assert (claimed.dummy_rows, claimed.dummy_seed) == (100, 42)
    assert await store.executions.seal(claimed.id, 1, DONE, RELEASE)
    shown = await store.executions.settle(claimed.id)
    assert (shown.status, shown.charged, shown.has_result) == (Status.SUCCEEDED, NOTHING, True)
    assert (await store.ledger.entries("ana", "census", 1, None)).items == ()
    assert await store.ledger.check() == []


async def test_one_key_is_one_execution(store: Store) -> None:
    """Goal: a repeat is answered, not run. Method: ten at once and one later; other users' keys are their own."""
    await grant(store)
    answers = await asyncio.gather(*(store.executions.submit(submission(key="$k")) for _ in range(10)))
    assert len({record.id for record, _ in answers}) == 1
    assert sum(fresh for _, fresh in answers) == 1
    claimed = await store.executions.claim("worker", LEASE)
    again, fresh = await store.executions.submit(submission(key="$k"))
    assert (again, fresh) == (claimed, False)
    await store.ledger.set_grant("bea", "census", TENTH, actor="admin")
    theirs, fresh = await store.executions.submit(replace(submission(key="$k"), user="bea"))
    assert fresh
    assert theirs.id != again.id


async def test_one_id_is_one_execution(store: Store) -> None:
    """Goal: every write may be repeated. Method: the same submission twice, without a key."""
    await grant(store)
    asked = submission()
    first, fresh = await store.executions.submit(asked)
    assert fresh
    assert await store.executions.submit(asked) == (first, False)
    await assert_balance(store, reserved=1)


async def test_a_key_used_for_something_else_is_refused(store: Store) -> None:
    """Goal: a key never answers another question. Method: other SQL, other dataset, other kind."""
    await grant(store)
    await store.executions.submit(submission(key="k"))
    others = (
        submission(key="k", sql="SELECT SUM(age) FROM df"),
        replace(submission(key="k"), dataset="other"),
        submission(key="k", kind=Kind.DUMMY),
    )
    for other in others:
        with pytest.raises(Conflict):
            await store.executions.submit(other)
    await assert_balance(store, reserved=1)


async def test_a_refused_key_may_be_used_again(store: Store) -> None:
    """Goal: a refusal leaves nothing. Method: too little budget, then enough; all who wait with the key agree."""
    await grant(store, TENTH * 0)
    outcomes = await asyncio.gather(
        *(store.executions.submit(submission(key="k")) for _ in range(4)), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {BudgetExceeded}
    await grant(store)
    _, fresh = await store.executions.submit(submission(key="k"))
    assert fresh
    await assert_balance(store, reserved=1)


async def test_without_grant_nothing_is_submitted(store: Store) -> None:
    """Goal: missing information refuses. Method: no account at all; nothing is left."""
    with pytest.raises(NotFound):
        await store.executions.submit(submission())
    assert await sweep(store, grace_seconds=0) == await sweep(store, grace_seconds=0)
    assert (await store.executions.page(EVERYTHING, 10, None)).items == ()


async def test_executions_under_way_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: nobody fills the queue. Method: a small bound, up to it and one past it, and after one has ended."""
    monkeypatch.setattr(module, "MAX_ACTIVE_PER_USER", 3)
    await grant(store)
    records = [await queued(store) for _ in range(3)]
    with pytest.raises(LimitExceeded):
        await store.executions.submit(submission())
    await assert_balance(store, reserved=3)
    await store.executions.cancel(records[0].id, "ana")
    await queued(store)
    await assert_balance(store, reserved=3)


async def test_keys_and_results_are_bounded(store: Store) -> None:
    """Goal: a document stays within what MongoDB keeps. Method: at each limit, and one past it."""
    await grant(store)
    with pytest.raises(LimitExceeded):
        await store.executions.submit(submission(key="k" * (MAX_KEY + 1)))
    await store.executions.submit(submission(key="k" * MAX_KEY))
    claimed = await store.executions.claim("worker", LEASE)
    assert claimed is not None
    largest = Release(table=bytes(module.MAX_RESULT_BYTES), row_count=1, columns=())
    with pytest.raises(LimitExceeded):
        await store.executions.seal(claimed.id, 1, DONE, replace(largest, table=largest.table + b"x"))
    assert await store.executions.seal(claimed.id, 1, DONE, largest)


async def test_an_execution_is_claimed_once_and_the_oldest_first(store: Store) -> None:
    """Goal: no two workers run one attempt. Method: six workers race for four executions."""
    await grant(store)
    waiting = [(await queued(store)).id for _ in range(4)]
    claims = await asyncio.gather(*(store.executions.claim(f"w{number}", LEASE) for number in range(6)))
    assert sorted(claimed.id for claimed in claims if claimed is not None) == sorted(waiting)
    first, second = await queued(store), await queued(store)
    claimed = await store.executions.claim("worker", LEASE)
    assert claimed is not None
    assert (claimed.id, second.status) == (first.id, Status.QUEUED)


async def test_a_lost_worker_is_replaced_and_fenced(store: Store) -> None:
    """Goal: an old attempt changes nothing. Method: let its lease run out, claim again, then let it try everything."""
    await grant(store)
    old = await opened(store, lease=0)
    new = await store.executions.claim("other", LEASE)
    assert new is not None
    assert (new.id, new.attempt, new.started_at, new.opened) == (old.id, 2, old.started_at, True)
    assert not await store.executions.heartbeat(old.id, 1, LEASE)
    assert not await store.executions.report(old.id, 1, 0.9, "late")
    assert not await store.executions.mark_opened(old.id, 1, (), ())
    assert not await store.executions.seal(old.id, 1, DONE, RELEASE)
    assert await store.executions.heartbeat(new.id, 2, LEASE)
    assert await store.executions.get(new.id) == new
    second = Release(table=b"second", row_count=1, columns=())
    assert await store.executions.seal(new.id, 2, DONE, second)
    assert not await store.executions.seal(old.id, 1, DONE, RELEASE)
    await store.executions.settle(new.id)
    result = await store.executions.result(new.id)
    assert result is not None
    assert result.table == b"second"
    await assert_balance(store, spent=1)


async def test_a_heartbeat_keeps_the_lease_and_shows_nothing(store: Store) -> None:
    """Goal: a living worker is left alone, unseen. Method: prolong a lease that had run out."""
    await grant(store)
    claimed = await running(store, lease=0)
    assert await store.executions.heartbeat(claimed.id, 1, LEASE)
    assert await store.executions.claim("other", LEASE) is None
    assert await store.executions.get(claimed.id) == claimed


async def test_an_opened_run_that_fails_unopened_later_is_charged(store: Store) -> None:
    """Goal: opened once is opened for ever. Method: the second attempt fails before it opens."""
    await grant(store)
    await opened(store, lease=0)
    new = await store.executions.claim("other", LEASE)
    assert new is not None
    assert await store.executions.seal(new.id, 2, Outcome(status=Status.FAILED, code="UNAVAILABLE"), None)
    assert (await store.executions.settle(new.id)).charged == TENTH
    await assert_balance(store, spent=1)


@pytest.mark.parametrize("read", [True, False])
async def test_attempts_are_bounded(store: Store, read: bool) -> None:
    """Goal: what kills every worker is given up. Method: lose as many as are allowed; the sweeper ends it."""
    await grant(store)
    record = await (opened if read else running)(store, lease=0)
    for attempt in range(2, MAX_ATTEMPTS + 1):
        claimed = await store.executions.claim("other", 0)
        assert claimed is not None
        assert claimed.attempt == attempt
    assert await store.executions.claim("other", 0) is None
    report = await sweep(store)
    assert (report.given_up, report.settled) == (1, 1)
    ended = await store.executions.get(record.id)
    assert ended is not None
    assert (ended.status, ended.code, ended.charged) == (Status.FAILED, "INTERNAL", TENTH if read else NOTHING)
    await assert_balance(store, spent=int(read))


async def test_sealing_again_changes_nothing(store: Store) -> None:
    """Goal: one answer per charge. Method: seal again with another result and another outcome, before and after."""
    await grant(store)
    record = await sealed(store)
    other = Release(table=b"other", row_count=9, columns=())
    for _ in range(2):
        assert await store.executions.seal(record.id, 1, DONE, other)
        assert await store.executions.seal(record.id, 1, FAILED, None)
        assert (await store.executions.settle(record.id)).status is Status.SUCCEEDED
    result = await store.executions.result(record.id)
    assert result is not None
    assert result.table == RELEASE.table
    with pytest.raises(ValueError, match="success"):
        await store.executions.seal(record.id, 1, DONE, None)


async def test_settling_without_an_outcome_changes_nothing(store: Store) -> None:
    """Goal: settle is safe at any time. Method: while it waits, while it runs, and for what is not there."""
    await grant(store)
    waiting = await queued(store)
    assert await store.executions.settle(waiting.id) == waiting
    claimed = await store.executions.claim("worker", LEASE)
    assert claimed is not None
    assert await store.executions.settle(claimed.id) == claimed
    with pytest.raises(NotFound):
        await store.executions.settle("nothing")


async def test_racing_settlers_charge_once(store: Store) -> None:
    """Goal: anybody may settle. Method: eight at once."""
    await grant(store)
    record = await sealed(store)
    ended = await asyncio.gather(*(store.executions.settle(record.id) for _ in range(8)))
    assert {shown.revision for shown in ended} == {record.revision + 2}
    await assert_balance(store, spent=1)


async def test_a_submission_given_up_by_the_sweeper_loses_cleanly(store: Store) -> None:
    """Goal: a slow process and the sweeper never both win. Method: sweep without grace while submissions run."""
    await grant(store)
    submitting = asyncio.gather(*(store.executions.submit(submission()) for _ in range(10)), return_exceptions=True)
    while not submitting.done():
        await sweep(store, grace_seconds=0)
    outcomes = await submitting
    assert {type(outcome) for outcome in outcomes} <= {tuple, StoreUnavailable}
    await sweep(store, grace_seconds=0)
    await assert_balance(store, reserved=sum(isinstance(outcome, tuple) for outcome in outcomes))


async def test_executions_come_in_pages_newest_first(store: Store) -> None:
    """Goal: every execution once, also of one millisecond. Method: pages of three over eight."""
    await grant(store)
    await asyncio.gather(*(queued(store) for _ in range(8)))
    everything = (await store.executions.page(EVERYTHING, 100, None)).items
    assert list(everything) == sorted(everything, key=lambda it: (it.submitted_at, it.id), reverse=True)
    seen: list[ExecutionRecord] = []
    after, more = None, True
    while more:
        page = await store.executions.page(EVERYTHING, 3, after)
        seen += page.items
        after, more = page.cursors[-1], page.has_next
    assert tuple(seen) == everything
    with pytest.raises(BadCursor):
        await store.executions.page(EVERYTHING, 3, "bm9uZQ==")


async def test_filters_narrow_the_list(store: Store) -> None:
    """Goal: each filter holds alone and with others. Method: three executions that differ in everything."""
    await grant(store)
    done = await sealed(store)
    await store.executions.settle(done.id)
    dummy = await queued(store, kind=Kind.DUMMY)
    theirs, _ = await store.executions.submit(replace(submission(kind=Kind.DUMMY), user="bea", dataset="other"))
    expected = {
        EVERYTHING: {done.id, dummy.id, theirs.id},
        ExecutionFilter(user="ana"): {done.id, dummy.id},
        ExecutionFilter(dataset="other"): {theirs.id},
        ExecutionFilter(kind=Kind.DUMMY, user="ana"): {dummy.id},
        ExecutionFilter(status=(Status.SUCCEEDED, Status.FAILED)): {done.id},
        ExecutionFilter(library=(done.library,)): {done.id, dummy.id, theirs.id},
        ExecutionFilter(since=dummy.submitted_at): {dummy.id, theirs.id},
        ExecutionFilter(until=dummy.submitted_at): {done.id},
    }
    for narrowed, ids in expected.items():
        page = await store.executions.page(narrowed, 100, None)
        assert {record.id for record in page.items} == ids, narrowed
