"""``.vov`` files against their sources and against other codecs: real metrics, matched bytes, one report."""
