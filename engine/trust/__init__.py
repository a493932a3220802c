"""How far an answer is from the truth: `certificate` of a file, `check_rule` of one op's rule."""
