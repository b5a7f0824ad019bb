"""The only room that knows MongoDB: ledger, executions, datasets, users. It hands out no raw document."""
