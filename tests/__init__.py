"""The tests, one tree per room."""
