"""Training recipes as choices, alone and beside those of an architecture; torch-free."""
