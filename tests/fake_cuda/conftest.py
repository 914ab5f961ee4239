"""Doctests are not looked for in what runs in processes of its own."""

collect_ignore = ["measure.py", "backward.py", "recorder.py"]
