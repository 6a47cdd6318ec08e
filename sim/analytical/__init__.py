"""Level `analytical`: cycles and traffic from formulas."""
