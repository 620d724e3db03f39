"""The daemon: watches the volumes, has closed ones opened, and starts what waited for them. Never destructive.

It is an asyncio program that stays small: configuration, keys and everything that changes the host are the business of
a worker (service/worker.py), a process that does one pass and leaves, secrets and memory with it.
"""
