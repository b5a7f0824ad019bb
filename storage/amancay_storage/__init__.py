"""The only room that knows MongoDB: the ledger, executions, datasets and users. It hands out no raw document."""
