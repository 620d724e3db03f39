"""volward keeps the data directories of databases on LUKS2 volumes.

The package follows one flow: observe, plan, apply, verify. See docs/explanation/architecture.md.
"""

__version__ = "0.1.0"
