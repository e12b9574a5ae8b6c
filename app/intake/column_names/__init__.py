"""The names of columns: the words that files use, what a name means, and the columns of Reckon that it maps to."""
