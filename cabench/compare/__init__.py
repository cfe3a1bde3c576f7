"""The gate: a results folder against a baseline, cell by cell, with known rates of error."""
