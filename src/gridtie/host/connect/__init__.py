"""Wires clients to the station: what each reads, where, and how all of it is taken back."""
