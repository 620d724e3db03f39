"""The lab: a virtual Debian host on which volward is tested against a real kernel, TPM and systemd.

README.md beside this file explains how it works; `tests.lab.host.Host` is what a test sees.
Nothing in this package needs more than Python's standard library, so `make demo` runs without a
virtual environment.
"""
