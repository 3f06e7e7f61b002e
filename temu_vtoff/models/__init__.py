"""The two transformers of TEMU-VTOFF and their attention (arXiv 2505.21062, sections 3.1 and 3.2)."""
