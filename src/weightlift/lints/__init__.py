"""Code that saves or loads weights badly: what is found in source files, and how it is rewritten."""
