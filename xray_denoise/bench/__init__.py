"""Measure denoisers on clean images with fresh noise, and lay the numbers out beside those of the X-BDCNN paper.

    clean image -> cases -> rows -> records -> pivot -> tables, plots, pages

One place for each addition: a method is a line of `rows.KNOWN`, a metric an entry of `metrics.METRICS`, a table an
entry of `tables.TABLES`. `quality` measures results, `speed` measures time and memory in fresh processes; both keep
`records.Record`s in one kind of log.
"""
