"""The commands: signatures and help; the work is done by the modules they call."""
