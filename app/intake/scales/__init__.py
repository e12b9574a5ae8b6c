"""Rating scales: what the values of all ratings of an import are, judged by their counts.

They are ratings on a scale, pairs without a value, or amounts (`sums` adds those of one pair); some stand for a missing
rating.
"""
