"""What a compressed clip is worth: figures, baselines, reports, and diagnostics of the theory."""
