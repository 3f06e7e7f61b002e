"""Try-on, the way back (FitDiT, arXiv 2411.10499): the pipeline that puts a garment on a person."""
