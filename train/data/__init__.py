"""Person-search data sets: what a split holds, and readers of the published layouts."""
