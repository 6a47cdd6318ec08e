"""Processing elements and the units built of them."""
