"""What a decoded clip is worth: figures, other codecs at the same bytes, a report."""
