"""Training of both stages, in pieces that `train.py` puts together.

Step k of a run is a pure function of (weights, optimizer state, k): data order, noise, times and dropped conditions
are all drawn from generators seeded by the run's seed and the step. A resumed run therefore repeats the uninterrupted
one exactly, and no random state is ever saved.
"""
