"""Formulas on arrays: pure functions that know nothing of scikit-learn."""
