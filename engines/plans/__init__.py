"""Plans: what a backend runs when it is not the bundle's own graph, made and kept here."""
