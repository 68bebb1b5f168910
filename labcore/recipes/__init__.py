"""Makes what is shipped: ``python -m labcore.recipes WHAT`` (see `make shipped`)."""
