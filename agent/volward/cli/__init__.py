"""The command line: the only modules that print and exit. One small file a command group."""
