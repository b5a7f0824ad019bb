"""Amancay's worker: claims executions and runs each in a fresh, limited process of its own."""
