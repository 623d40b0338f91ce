"""What of a station no run can make again, as one file, and back from it."""
