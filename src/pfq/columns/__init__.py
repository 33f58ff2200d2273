"""Packets as columns: records wherever their bytes lie, decoded headers, and data frames."""
