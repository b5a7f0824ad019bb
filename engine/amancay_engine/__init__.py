"""The engine: may this number be released, what does it cost, how is it computed?

Nothing in here knows MongoDB or GraphQL. Only the modules in `runners` import a DP library.
"""
