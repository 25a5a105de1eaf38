"""Where every weight goes: rules that people can read, checked before a byte is read."""
