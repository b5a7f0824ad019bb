"""The documents that these tests send."""

LOSS = "{ epsilon delta }"
BUDGET = f"{{ limit {LOSS} spent {LOSS} reserved {LOSS} remaining {LOSS} }}"
ACCURACY = "{ column mechanism scale margin95 }"
STATE = f"""
fragment State on Execution {{
  id dataset requestedBy library query kind status revision submittedAt startedAt finishedAt
  progress {{ fraction stage }} cost {LOSS} charged {LOSS} accuracy {ACCURACY} error {{ code message }}
  result {{ ... on Table {{ columns {{ name type }} rowCount rows arrow }} }}
}}
"""
PROBLEM = f"""
  ... on Problem {{ code message }}
  ... on InvalidQuery {{ path }}
  ... on BudgetExceeded {{ requested {LOSS} remaining {LOSS} }}
"""
EXECUTE = f"mutation ($input: ExecuteInput!) {{ execute(input: $input) {{ __typename ...State {PROBLEM} }} }} {STATE}"
DUMMY = f"""
mutation ($input: ExecuteInput!, $dummy: DummyInput) {{
  executeDummy(input: $input, dummy: $dummy) {{ __typename ...State {PROBLEM} }}
}} {STATE}
"""
CANCEL = f"mutation ($id: ID!) {{ cancelExecution(id: $id) {{ __typename ...State {PROBLEM} }} }} {STATE}"
ESTIMATE = f"""
query ($dataset: String!, $query: DpQuery!) {{
  estimate(dataset: $dataset, query: $query) {{
    __typename
    ... on Estimate {{ cost {LOSS} timesAffordable accuracy {ACCURACY} }}
    ... on Problem {{ code message }}
    ... on InvalidQuery {{ path }}
  }}
}}
"""
EXECUTION = f"query ($id: ID!) {{ execution(id: $id) {{ ...State }} }} {STATE}"
PAGE_INFO = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
EXECUTIONS = f"""
query ($first: Int! = 20, $after: String, $filter: ExecutionFilter) {{
  executions(first: $first, after: $after, filter: $filter) {{ edges {{ cursor node {{ id }} }} {PAGE_INFO} }}
}}
"""
FOLLOW_EXECUTION = "subscription ($id: ID!) { execution(id: $id) { id status revision progress { fraction stage } } }"
FOLLOW_BUDGET = f"subscription ($dataset: String!) {{ budget(dataset: $dataset) {BUDGET} }}"
DATASET = f"""
query ($name: String!) {{
  dataset(name: $name) {{
    id name description rows libraries budget {BUDGET}
    privacyUnit {{ kind column maxContributions }}
    columns {{
      __typename name nullable description
      ... on IntegerColumn {{ lowest: lower highest: upper integers: categories bits }}
      ... on FloatColumn {{ lower upper bits }}
      ... on StringColumn {{ texts: categories }}
      ... on DatetimeColumn {{ from: lower to: upper }}
    }}
  }}
}}
"""
DUMMY_ROWS = """
query ($name: String!, $rows: Int! = 100, $seed: Int! = 42) {
  dataset(name: $name) { dummy(rows: $rows, seed: $seed) { columns { name type } rowCount rows } }
}
"""
DATASETS = f"""
query ($first: Int! = 20, $after: String) {{
  datasets(first: $first, after: $after) {{ edges {{ cursor node {{ name budget {BUDGET} }} }} {PAGE_INFO} }}
}}
"""
ME = f"""
query ($first: Int! = 20, $after: String, $entries: Int! = 20, $entry: String) {{
  me {{
    id name email role active
    grants(first: $first, after: $after) {{
      edges {{
        cursor
        node {{
          user dataset budget {BUDGET}
          ledger(first: $entries, after: $entry) {{
            edges {{ cursor node {{ id at kind loss {LOSS} execution actor }} }} {PAGE_INFO}
          }}
        }}
      }}
      {PAGE_INFO}
    }}
  }}
}}
"""
