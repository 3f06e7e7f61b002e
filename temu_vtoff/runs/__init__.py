"""Long runs over a dataset: shared out over processes, resumed after a kill, the same result in every case."""
