"""One verdict on a station: every promise checked, each failure with what was found, what was wanted, what to do."""
