"""``python -m genas`` is the same as the console command ``genas``."""

from genas.cli.app import main

if __name__ == "__main__":
    main()
