"""Identity losses of the papers, each with the state that it learns from."""
