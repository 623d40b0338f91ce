"""OpenTelemetry traces: what a request's row holds, and its attempts one by one, as spans for a collector.

Nothing here is imported where `GRIDTIE_TRACES_ENDPOINT` is not set; `tracing` is the entrance. While a request runs it
is noted which attempts there were (`trace`); at its end that goes into a bounded queue, and a thread of its own makes
spans of it (`spans`, `prompt`) and sends them (`exporting`, `sender`).
"""
