"""Groups, end-points, steering tables, and the program of a device."""
