"""Embedding rasters sampled at points."""
