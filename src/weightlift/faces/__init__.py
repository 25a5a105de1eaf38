"""The only code that prints, colours or exits."""
