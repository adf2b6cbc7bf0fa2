"""``python -m tutela`` is the command ``tutela``."""

from tutela.cli import main

if __name__ == "__main__":
    main()
