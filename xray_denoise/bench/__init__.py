"""Benchmark denoisers on clean images with added noise, next to the figures of the X-BDCNN paper.

    clean image -> cases -> rows -> records -> pivot -> tables, plots, pages

One place for each addition: a method is a line of `rows.KNOWN`, a metric an entry of `metrics.METRICS`, a table a
subclass of `table.TableSpec` and its entry in `tables.TABLES`. `plan` measures them all, results in this process and
speed in fresh ones, and keeps `records.Record`s in one kind of log.
"""
