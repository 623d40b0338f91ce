"""The sub-commands of `gridtie` on a host."""
