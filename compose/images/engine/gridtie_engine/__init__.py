"""llama.cpp's own server, from the xllamacpp package: as Ollama's `llama-server`, and as an engine of its own."""
