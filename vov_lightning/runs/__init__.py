"""Runs on the disk, without Lightning: the folder of a fit, sets of clips, and sources brought to a model's size."""
