"""Training that is saved and resumed: every state of a run in a directory that survives a crash, without pickle."""
