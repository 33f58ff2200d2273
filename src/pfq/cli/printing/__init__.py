"""What `pfq capture` writes: lines, JSON records or a file, and the counts at the end."""
