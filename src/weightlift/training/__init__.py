"""Training that can be gone on with: live objects into checkpoints without pickle, and back, all or nothing."""
