"""Header backups: one sealed, self-describing file each; see docs/explanation/header-backups.md for the format."""
