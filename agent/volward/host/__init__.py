"""One thin file a host tool. Every child process starts in run.py; no file here knows the configuration."""
