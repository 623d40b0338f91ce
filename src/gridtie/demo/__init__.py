"""The demo on several targets: what each agent's part in one solved task cost, here and at a cloud."""
