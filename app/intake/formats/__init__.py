"""The file formats that Reckon reads: one module a format, one line of `registry.FORMATS`.

A format opens a file as a `RawTable`: blocks of rows under the column names of the file. `layouts` then recognises what
the columns are. A layout whose columns have fixed meanings (MovieLens) states the kind of its rows itself.
"""
