"""One file for each rule, named for the pattern that it finds; `lints.table` lists them."""
