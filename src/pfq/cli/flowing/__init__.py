"""What `pfq flows` does once its command line is understood."""
