"""The command `anda`."""


def main() -> None:
    """Run the command line (the console script's entry point)."""
