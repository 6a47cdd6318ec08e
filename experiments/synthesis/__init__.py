"""Tables and figures of synthesis."""
