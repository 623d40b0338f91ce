"""What is wrong with a question about size."""


class SizeError(ValueError):
    """It cannot be answered; one sentence says what was found and what is wanted."""
