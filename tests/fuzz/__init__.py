"""Changed files by the million: what reads them ends soon, in a value or in one of our errors.

`python -m fuzz.run` (`make fuzz`) runs for as long as asked, guided by coverage where atheris is installed;
`test_fuzz.py` runs a short deterministic part. A kind of input is a line in `kinds.py`: seeds, a mutator that
knows the structure (`mutators/`), and what is done with each changed file (`targets.py`).
"""
