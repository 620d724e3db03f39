"""One file a verb that is more than plan and apply."""
