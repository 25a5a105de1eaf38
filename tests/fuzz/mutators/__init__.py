"""One file per structure: bytes and a random generator to other bytes of nearly the same structure."""
