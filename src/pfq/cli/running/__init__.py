"""What `pfq run` does once its command line is understood."""
