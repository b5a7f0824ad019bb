"""The tour: a researcher's first questions, through the real client against the running server."""

from dataclasses import dataclass

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid

import amancay_client as amancay


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One question of the tour."""

    title: str
    dataset: str
    sql: str
    epsilon: float


STOPS = (
    Stop(
        title="How many penguins of each species?",
        dataset="penguins",
        sql="SELECT species, COUNT(*) AS penguins FROM df GROUP BY species",
        epsilon=0.25,
    ),
    Stop(
        title="The mean income by sex and region, out of two million rows",
        dataset="income",
        sql="SELECT sex, region, AVG(income) AS mean_income FROM df GROUP BY sex, region ORDER BY region, sex",
        epsilon=0.25,
    ),
    Stop(
        title="How many persons visited? Each may have several rows, and all of them are protected together",
        dataset="visits",
        sql="SELECT COUNT(DISTINCT person_id) AS persons FROM df",
        epsilon=0.25,
    ),
    Stop(
        title="A question that cannot be protected, so it is refused and costs nothing",
        dataset="income",
        sql="SELECT MAX(income) AS highest FROM df",
        epsilon=0.25,
    ),
    Stop(
        title="A question that costs more than the budget has, so it is refused and costs nothing",
        dataset="penguins",
        sql="SELECT AVG(body_mass_g) AS mean_body_mass FROM df",
        epsilon=1000,
    ),
)


def tour(url: str, token: str) -> None:
    """Asks every question of the tour and prints price, noisy answer and budget left."""
    console = Console(highlight=False)
    with amancay.connect(url, token=token) as session:
        console.print(f"\nSigned in as [bold]{session.me.name}[/]. Granted: {', '.join(_names(session))}.")
        for number, stop in enumerate(STOPS, start=1):
            _visit(console, session, number, stop)
        console.print("\n[bold]What is left[/]")
        console.print(_balance(session))


def _names(session: amancay.Session) -> list[str]:
    return [dataset.name for dataset in session.datasets()]


def _visit(console: Console, session: amancay.Session, number: int, stop: Stop) -> None:
    dataset = session.dataset(stop.dataset)
    console.print(f"\n[bold]{number}. {stop.title}[/]\n   [dim]{stop.dataset}:[/] {stop.sql}", soft_wrap=True)
    query = dataset.sql(stop.sql, epsilon=stop.epsilon)
    try:
        estimate = query.estimate()
        console.print(f"   price     {_loss(estimate.cost)}; affordable {estimate.times_affordable} times")
        execution = query.run(progress=console.is_terminal)
        console.print("   answer    noisy, and paid for:")
        console.print(Padding(_answer(execution), (0, 0, 0, 13)))
    except amancay.Refused as refusal:
        console.print(f"   refused   [yellow]{refusal}[/]", soft_wrap=True)
    budget = dataset.budget
    assert budget is not None  # granted, or the dataset would not be there
    console.print(
        f"   budget    {stop.dataset}: spent {_loss(budget.spent)}, left {_loss(budget.remaining)}", soft_wrap=True
    )


def _answer(execution: amancay.Execution) -> Grid:
    frame = execution.to_polars()
    grid = Grid(*frame.columns)
    for row in frame.iter_rows():
        grid.add_row(*(f"{value:,.2f}" if isinstance(value, float) else str(value) for value in row))
    return grid


def _loss(loss: amancay.PrivacyLoss) -> str:
    return f"epsilon {loss.epsilon:g}, delta {loss.delta:g}"


def _balance(session: amancay.Session) -> Grid:
    grid = Grid("dataset", "limit", "spent", "reserved", "left")
    for dataset in session.datasets():
        budget = dataset.budget
        assert budget is not None  # as above
        parts = (budget.limit, budget.spent, budget.reserved, budget.remaining)
        grid.add_row(dataset.name, *(f"{part.epsilon:g} / {part.delta:g}" for part in parts))
    return grid
