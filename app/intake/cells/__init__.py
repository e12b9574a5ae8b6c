"""Cells: how the values of each column of a table are written, and their conversion to typed values.

`conventions` finds how a column is written, by one module a kind of column (`value_column`, `time_column`,
`attribute_column`). `number_texts`, `date_texts` and `list_texts` read texts; `values` and `attributes` convert single
cells. `left_out` records the cells that could not be read.
"""
