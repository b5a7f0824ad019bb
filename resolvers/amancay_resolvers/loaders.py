"""Batched look-ups, one loader per request, so that a list costs one call and not one per item."""

from strawberry.dataloader import DataLoader

from amancay_storage.account import Balance
from amancay_storage.ledger import Ledger

BudgetLoader = DataLoader[str, Balance | None]


def budget_loader(ledger: Ledger, user: str) -> BudgetLoader:
    """The balances of one user's grants, by dataset; None without a grant."""

    async def load(datasets: list[str]) -> list[Balance | None]:
        balances = await ledger.balances(user, datasets)
        return [balances.get(dataset) for dataset in datasets]

    return DataLoader(load_fn=load, cache=False)  # a WebSocket lives long: balances must not be remembered
