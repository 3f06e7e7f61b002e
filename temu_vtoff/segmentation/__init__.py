"""Garments in photos: label maps by a SegFormer, and the masks made of them."""
