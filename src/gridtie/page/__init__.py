"""Pages that stand alone: one HTML file with its style and its plots in it, no script, nothing from elsewhere."""
