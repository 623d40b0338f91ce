"""What one task that was solved cost, in money and time, all tries included."""
