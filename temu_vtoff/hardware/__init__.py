"""Devices, precision, offloading, quantisation and kernels."""
