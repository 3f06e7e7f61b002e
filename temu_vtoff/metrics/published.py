"""Published numbers to compare a run with: at 768 x 1024, on the whole test split, scaled as in the papers."""

SIZE = (768, 1024)
ITEMS = {"dresscode": 5400, "vitonhd": 2032}
COLUMNS = ("ssim", "lpips", "dists", "fid", "kid")
# From the paper (arXiv 2505.21062), its tables for Dress Code (all categories) and VITON-HD.
PUBLISHED = {
    "dresscode": {
        "Any2AnyTryon": (77.56, 35.17, 25.17, 12.32, 3.65),
        "MGT": (77.77, 35.37, 27.28, 13.47, 5.28),
        "TEMU-VTOFF": (75.95, 31.46, 18.66, 5.74, 0.65),
    },
    "vitonhd": {
        "TryOffDiff": (75.53, 39.56, 25.53, 17.49, 5.30),
        "TryOffAnyone": (75.90, 35.26, 23.47, 12.74, 2.85),
        "One Model For All": (None, 22.50, 19.20, 9.12, 1.49),
        "TEMU-VTOFF": (77.21, 28.44, 18.04, 8.71, 1.11),
    },
}
