"""`python -m secondread`: the command line where the script is not on the path."""

from secondread.cli.main import main

if __name__ == "__main__":
    main()
