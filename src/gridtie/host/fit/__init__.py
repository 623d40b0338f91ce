"""What a model needs, what the machine can give, and which models fit. No input or output."""
