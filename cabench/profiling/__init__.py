"""How fast, how lean and how exact the pairwise losses are, and where the time of a training step goes."""
