"""How the domain looks in GraphQL: one module per noun, no logic.

A type whose field needs a look-up holds a private callable that the resolvers put there: the schema itself calls no
other room.
"""
