"""vllm-router in front of the servers that a file names, which may change while it runs."""
