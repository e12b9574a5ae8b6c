"""Recognition: decides what the rows of a table are, by the names of its columns and a sample of its values.

A table that only may be one of items or users is refused with the option to try, because storing it would change what
is known of them.

    looks -> doubts -> guesses -> refusals -> table_kind
"""
