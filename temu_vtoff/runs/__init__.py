"""Long runs over a dataset: split over processes, resumed after a kill, always with the same results."""
