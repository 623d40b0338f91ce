"""Bounds on what a client connection may cost, beside those that the routing file sets (`limits`)."""

from __future__ import annotations

# Seconds an idle keep-alive connection is kept; nginx's default.
KEEP_ALIVE_SECONDS = 75.0

# Seconds a request body may take. 16 MiB at 1 Mbit/s take 134.
BODY_SECONDS = 300.0

# Seconds in which at least one byte of a body has to come; half of nginx's client_body_timeout.
BODY_STALL_SECONDS = 30.0

# Seconds that a request may take beyond routing's `timeouts.total`, which is to end it: past them it is the router
# that failed.
GRACE_SECONDS = 5.0

# Seconds a client may leave its receive window shut before it counts as gone; nginx's send_timeout.
STALL_SECONDS = 60.0

# After an early refusal what still comes is read and thrown away, so that the client gets to read the refusal instead
# of a reset connection: so many bytes or as many as were announced, up to a bound; until so many seconds have passed
# in which nothing came, or so many in all.
LINGER_BYTES = 1024 * 1024
LINGER_ANNOUNCED_BYTES = 64 * 1024 * 1024
LINGER_SECONDS = 2.0
LINGER_TOTAL_SECONDS = 10.0

# Bytes of pipelined requests that are read while one is in flight, before reading stops.
PIPELINE_BYTES = 64 * 1024

# Bytes that are parsed at a time, between which the bounds are looked at and requests begun. So many bytes of
# requests are parsed ahead at most.
PARSE_BYTES = 4096

# Bytes of framing that a chunk of a body may have on average: its size in hexadecimal and two line ends. Chunk
# extensions and trailers have `limits.max_header_bytes` in all beyond it.
CHUNK_FRAMING_BYTES = 16

# Bytes of a body that are not counted against `limits.held_bytes`: `limits.max_connections` bounds them well enough,
# and most requests pay nothing for the counting.
UNCOUNTED_BYTES = 8 * 1024

# A body whose length is not announced is counted in steps of so many bytes.
COUNTED_STEP_BYTES = 64 * 1024

# Bytes that wait for a slow client before upstream is read no further; uvicorn's high-water mark.
WRITE_HIGH_WATER = 64 * 1024

# A piece beyond this is counted whole while any of it waits for the client: the transport keeps it until its last byte
# is sent, and so no slow reader may hold more than is counted by leaving that byte.
COUNTED_WHOLE_BYTES = 64 * 1024
