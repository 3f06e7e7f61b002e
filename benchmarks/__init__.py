"""How fast the stages are, and on what: see docs/performance.md."""
