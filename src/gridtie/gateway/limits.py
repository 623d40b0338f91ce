"""Bounds on what a client connection may cost, beside those that the routing file sets (`limits`)."""

from __future__ import annotations

# Seconds an idle keep-alive connection is kept; nginx's default.
KEEP_ALIVE_SECONDS = 75.0

# Seconds a request body may take. 16 MiB at 1 Mbit/s take 134.
BODY_SECONDS = 300.0

# Seconds a client may leave its receive window shut before it counts as gone; nginx's send_timeout.
STALL_SECONDS = 60.0

# Seconds and bytes that are read and thrown away after an early refusal, so that the client gets to read the
# refusal instead of a reset connection.
LINGER_SECONDS = 2.0
LINGER_BYTES = 1024 * 1024

# Pipelined bytes that are held while a request is in flight, and requests parsed ahead from one read.
PIPELINE_BYTES = 64 * 1024
PIPELINE_REQUESTS = 16

# Bytes that wait for a slow client before upstream is read no further; uvicorn's high-water mark.
WRITE_HIGH_WATER = 64 * 1024
