"""The parts of `app.py`, the local web page: one copy of the models, uploads and their limits, running work, layout."""
