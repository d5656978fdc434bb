"""How far a template may go. The language itself knows no limits; a daemon needs them."""

# Blocks inside each other, each dotted segment of their paths counted. The renderer uses one Python
# frame a block, and the interpreter allows 1,000.
MAX_DEPTH = 500

# Tags and their paths' segments, of a layout with its content in every place. The densest template
# of 256 KB has about half as many; a layout can repeat its content and so multiply it.
MAX_WEIGHT = 250_000

# Characters of one rendered part: Postmark takes bodies of 5 MB.
MAX_OUTPUT = 5 * 1024 * 1024

# Names of values that the model lacked, of one part.
MAX_MISSING = 100

# Tags rendered, every turn of a loop counted: under a second of work. Nested loops that print
# nothing never reach the limit of output.
MAX_STEPS = 1_000_000
