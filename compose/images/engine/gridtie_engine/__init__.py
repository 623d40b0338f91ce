"""llama.cpp's own server, from the xllamacpp package, behind two faces: Ollama's `llama-server` and one process a model."""
