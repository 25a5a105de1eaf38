"""Finding a plan: where every weight goes, on what evidence, and what is not sure about it."""
