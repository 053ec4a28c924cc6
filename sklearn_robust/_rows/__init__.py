"""All rows: what one pass over the data costs and returns."""
