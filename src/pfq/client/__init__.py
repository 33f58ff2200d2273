"""The engine of another process: what `pfq.connect` gives."""
