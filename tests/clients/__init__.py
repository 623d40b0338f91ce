"""Real clients, asked for real: SDKs as people's programs use them, and agents in a home of their own.

A driver is a program in the client's own language and environment. It reads jobs, a line of JSON each, and answers each
with a line (`clients.talk` says with what); so a client is started once for many questions.
"""
