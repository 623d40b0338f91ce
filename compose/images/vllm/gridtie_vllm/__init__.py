"""vLLM on the processor: its server as a station starts it, and a checkpoint for it out of a GGUF."""
