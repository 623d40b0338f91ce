"""What a model shows of itself on this engine before it counts, and the record of it."""
