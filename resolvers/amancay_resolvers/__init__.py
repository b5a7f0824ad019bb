"""Which calls answer a field: one module per noun of the schema. Read the input, call one room, return."""
