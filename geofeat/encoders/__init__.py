"""Fixed or drawn formulas: features without weights to download."""
