#!/usr/bin/env python3
"""Writes the CSV files that the speed of `taskctl run csv_aggregation` is measured with.

Usage: csv_files.py SHAPE ROWS FILE

The shapes: few (1,000 songs on 365 days), many (40,000 songs), quoted (as few, 5 % of the fields in
quotes, with commas, quotes and line ends), long (long titles, one song for four rows), crlf (as few,
with a byte order mark and CRLF), sparse (as few, the days at random in 200 years), wide (three
columns to group by, two to sum, four more).
"""

import random
import sys
from datetime import date, timedelta

AT_ONCE = 100_000


def quoted(field, number):
    extra = ["", ", Baby", ' ""Live""', "\nPart 2"][number % 4]
    return f'"{field}{extra}"'


def columns(shape, rows, rng):
    """Draws the columns of so many rows."""
    songs = {"many": 40_000, "long": max(ROWS // 4, 1), "wide": 200}.get(shape, 1_000)
    days = [(date(2020, 1, 1) + timedelta(day)).isoformat() for day in range(365)]
    if shape == "sparse":
        days_rng = random.Random(1)
        start = date(1850, 1, 1)
        days = [(start + timedelta(days_rng.randrange(73_000))).isoformat() for _ in range(365)]
    numbers = rng.choices(range(songs), k=rows)
    if shape == "long":
        text = "The Long And Winding Title Of A Song Nobody Remembers, Number".replace(",", "")
        titles = [f"{text} {number * 7919 % songs:08} (Remastered)" for number in numbers]
    else:
        titles = [f"Song {number:05}" for number in numbers]
    dates = rng.choices(days, k=rows)
    plays = list(map(str, rng.choices(range(1, 1_000), k=rows)))
    if shape == "quoted":
        for column in (titles, dates, plays):
            for row in rng.sample(range(rows), rows // 20):
                column[row] = quoted(column[row], row) if column is titles else f'"{column[row]}"'
    if shape == "wide":
        countries = rng.choices(["Germany", "France", "Japan", "Brazil", "Canada"], k=rows)
        more = ["x" * 8] * rows
        return [more, titles, countries, more, dates, plays, more, plays, more]
    return [titles, dates, plays]


shape, ROWS, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
generator = random.Random(shape)
end = "\r\n" if shape == "crlf" else "\n"
with open(path, "w", encoding="utf-8", newline="") as file:
    file.write("\ufeff" if shape == "crlf" else "")
    header = "Song,Date,Number of Plays"
    if shape == "wide":
        header = "a,Song,Country,b,Date,Number of Plays,c,Skips,d"
    file.write(header + end)
    for start in range(0, ROWS, AT_ONCE):
        part = columns(shape, min(AT_ONCE, ROWS - start), generator)
        file.write(end.join(map(",".join, zip(*part))) + end)
