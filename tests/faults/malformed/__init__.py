"""Malformed input in quantity: each case is a valid input with a few things wrong, and is answered or refused in one
line."""
